//! Model files in the browser.

use std::rc::Rc;

use js_sys::Reflect;
use nearside_gguf::{ByteSource, SourceError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Blob, FileReaderSync, FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use crate::javascript::describe;

/// A model file: in the page's private files, or picked from disk.
#[wasm_bindgen]
#[derive(Debug, Clone)]
pub struct Source {
    file: Rc<File>,
    length: u64,
}

#[derive(Debug)]
enum File {
    Handle(FileSystemSyncAccessHandle),
    /// One that somebody else writes and closes.
    Arriving(FileSystemSyncAccessHandle),
    Blob(Blob, FileReaderSync),
}

impl Drop for File {
    fn drop(&mut self) {
        if let Self::Handle(handle) = self {
            handle.close();
        }
    }
}

#[wasm_bindgen]
impl Source {
    /// A file in the page's private files. The handle is closed with this and what lasts of it.
    #[wasm_bindgen(js_name = fromHandle)]
    pub fn from_handle(handle: FileSystemSyncAccessHandle) -> Result<Source, JsValue> {
        let length = handle.get_size().inspect_err(|_| handle.close())? as u64;
        Ok(Self { file: Rc::new(File::Handle(handle)), length })
    }

    /// A file in the page's private files that is still being written and will have so many bytes. The handle stays the
    /// writer's.
    #[wasm_bindgen(js_name = fromArriving)]
    pub fn from_arriving(handle: FileSystemSyncAccessHandle, length: f64) -> Source {
        Self { file: Rc::new(File::Arriving(handle)), length: length as u64 }
    }

    /// A file from disk, read where it lies.
    #[wasm_bindgen(js_name = fromBlob)]
    pub fn from_blob(blob: Blob) -> Result<Source, JsValue> {
        let length = blob.size() as u64;
        Ok(Self { file: Rc::new(File::Blob(blob, FileReaderSync::new()?)), length })
    }
}

impl ByteSource for Source {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let wanted = buffer.len() as u64;
        let end = offset.saturating_add(wanted);
        if end > self.length {
            return Err(SourceError::OutOfRange { offset, end, length: self.length });
        }
        let failed = |reason: String| SourceError::Io { offset, length: wanted, reason };
        match self.file.as_ref() {
            File::Handle(handle) | File::Arriving(handle) => read_handle(handle, offset, buffer),
            File::Blob(blob, reader) => read_blob(blob, reader, offset, buffer),
        }
        .map_err(failed)
    }

    fn lasting(&self) -> Option<Rc<dyn ByteSource>> {
        match self.file.as_ref() {
            // A handle that is not for reading alone, as browsers without that mode give it, would lock out other tabs.
            File::Handle(handle) if is_for_reading(handle) => Some(Rc::new(self.clone())),
            // Each read from a file on disk crosses to another process.
            File::Handle(_) | File::Arriving(_) | File::Blob(..) => None,
        }
    }
}

fn is_for_reading(handle: &FileSystemSyncAccessHandle) -> bool {
    Reflect::get(handle, &"mode".into()).is_ok_and(|mode| mode == "read-only")
}

fn read_handle(handle: &FileSystemSyncAccessHandle, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
    let options = FileSystemReadWriteOptions::new();
    let mut filled = 0;
    while filled < buffer.len() {
        options.set_at((offset + filled as u64) as f64);
        let read = handle
            .read_with_u8_array_and_options(&mut buffer[filled..], &options)
            .map_err(|error| describe(&error))? as usize;
        if read == 0 {
            return Err("the file ends there".to_owned());
        }
        filled += read;
    }
    Ok(())
}

fn read_blob(blob: &Blob, reader: &FileReaderSync, offset: u64, buffer: &mut [u8]) -> Result<(), String> {
    let end = offset + buffer.len() as u64;
    let slice = blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(|error| describe(&error))?;
    let bytes = reader.read_as_array_buffer(&slice).map_err(|error| describe(&error))?;
    let bytes = js_sys::Uint8Array::new(&bytes);
    if bytes.length() as usize != buffer.len() {
        return Err("the file changed while it was read".to_owned());
    }
    bytes.copy_to(buffer);
    Ok(())
}
