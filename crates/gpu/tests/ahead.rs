//! A load that begins while the weights are on their way is the load that begins when they are here.

#[path = "../../cpu/tests/support/tiny.rs"]
#[allow(dead_code, reason = "only the model itself is needed here")]
mod tiny;

use std::ops::ControlFlow;

use nearside_engine::backend::BackendError;
use nearside_engine::{Begun, Engine, EngineError, EngineOptions, Outline};
use nearside_gguf::{ByteSource, Gguf, SourceError};
use nearside_gpu::{GpuBackend, GpuOptions};
use tiny::{ModelBytes, Tiny};

const OPTIONS: EngineOptions = EngineOptions { context: Some(48), batch: Some(4), cache: CACHE };
const CACHE: nearside_engine::backend::CacheFormat = nearside_engine::backend::CacheFormat::F16;

/// A file of which only so many bytes are here; what is read behind them is nonsense.
struct Arriving<'a> {
    whole: &'a ModelBytes,
    here: u64,
}

impl ByteSource for Arriving<'_> {
    fn len(&self) -> u64 {
        self.whole.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.whole.read_at(offset, buffer)?;
        let here = usize::try_from(self.here.saturating_sub(offset)).unwrap_or(usize::MAX);
        buffer.iter_mut().skip(here).for_each(|byte| *byte = 0xa5);
        Ok(())
    }
}

fn probe() -> Option<GpuBackend> {
    match pollster::block_on(GpuBackend::probe(GpuOptions::default())) {
        Ok(backend) => Some(backend),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Where the file's weights begin.
fn table_end(file: &ModelBytes) -> u64 {
    let table = Gguf::read(file).expect("a sound file");
    table.tensors.iter().map(|tensor| tensor.offset).min().expect("there are weights")
}

/// Begins with the table alone.
fn begin(file: &ModelBytes, backend: &GpuBackend, rehearse: bool) -> Begun {
    let arriving = Arriving { whole: file, here: table_end(file) };
    let outline = Outline::read(&arriving, OPTIONS).expect("the table is here");
    let begun = pollster::block_on(outline.begin(backend)).expect("there is room").expect("a GPU gains by it");
    if rehearse { pollster::block_on(begun.rehearse()).expect("it compiles") } else { begun }
}

fn load(begun: Option<Begun>, file: &ModelBytes, backend: &GpuBackend) -> Result<Engine, EngineError> {
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(Engine::load_begun(begun, file, backend, OPTIONS, &mut progress))
}

/// The logits' bits after a prompt that takes several steps, and after one token more.
fn logits(engine: &mut Engine) -> Vec<u32> {
    let mut session = engine.create_session().expect("room for a session");
    let prompts = [&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3][..], &[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]];
    let read = prompts.map(|prompt| pollster::block_on(engine.next_logits(&mut session, prompt)).expect("it runs"));
    read.concat().iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn a_load_that_began_with_the_table_alone_gives_the_same_model() {
    let file = Tiny::default().file();
    let Some(backend) = probe() else { return };
    let mut plain = load(None, &file, &backend).expect("the model loads");
    let expected = logits(&mut plain);
    for rehearse in [false, true] {
        let begun = begin(&file, &backend, rehearse);
        let mut engine = load(Some(begun), &file, &backend).expect("the weights are here");
        assert_eq!(engine.info(), plain.info());
        assert_eq!(logits(&mut engine), expected, "rehearsed: {rehearse}");
        assert_eq!(engine.counters().weight_bytes, plain.counters().weight_bytes);
    }
}

#[test]
fn a_table_that_is_not_all_here_says_so_and_can_be_read_later() {
    let file = Tiny::default().file();
    let end = table_end(&file);
    for here in [0, 3, 4, 20, end / 2, end - 40] {
        assert!(Outline::read(&Arriving { whole: &file, here }, OPTIONS).is_err(), "{here} of {end} bytes");
    }
    assert!(Outline::read(&Arriving { whole: &file, here: end }, OPTIONS).is_ok());
}

#[test]
fn what_was_begun_for_another_file_or_other_options_is_given_up() {
    let file = Tiny::default().file();
    let others = [Tiny { width: 64, ..Tiny::default() }, Tiny { biases: true, ..Tiny::default() }];
    let Some(backend) = probe() else { return };
    let mut plain = load(None, &file, &backend).expect("the model loads");
    let (expected, held) = (logits(&mut plain), backend.allocated_bytes());
    for other in others {
        let begun = begin(&other.file(), &backend, false);
        let mut engine = load(Some(begun), &file, &backend).expect("it is loaded from the start");
        assert_eq!(logits(&mut engine), expected, "{other:?}");
        assert_eq!(backend.allocated_bytes(), 2 * held, "nothing of the other one is kept");
    }
    let begun = begin(&file, &backend, true);
    let longer = EngineOptions { context: Some(60), ..OPTIONS };
    let mut progress = |_, _| ControlFlow::Continue(());
    let loaded = pollster::block_on(Engine::load_begun(Some(begun), &file, &backend, longer, &mut progress));
    assert_eq!(loaded.expect("it is loaded from the start").info().context, 60);
}

#[test]
fn what_is_dropped_or_called_off_frees_its_room() {
    let file = Tiny::default().file();
    let Some(backend) = probe() else { return };
    for rehearse in [false, true] {
        let begun = begin(&file, &backend, rehearse);
        assert!(backend.allocated_bytes() > 0);
        drop(begun);
        assert_eq!(backend.allocated_bytes(), 0);
        let begun = begin(&file, &backend, rehearse);
        let mut stop = |_, _| ControlFlow::Break(());
        let loaded = pollster::block_on(Engine::load_begun(Some(begun), &file, &backend, OPTIONS, &mut stop));
        assert!(matches!(loaded.err(), Some(EngineError::Backend(BackendError::Cancelled))));
        assert_eq!(backend.allocated_bytes(), 0);
    }
}

#[test]
fn a_device_that_is_lost_meanwhile_is_one_clear_error() {
    let file = Tiny::default().file();
    for rehearse in [false, true] {
        let Some(backend) = probe() else { return };
        let begun = begin(&file, &backend, rehearse);
        backend.lose_device();
        let error = load(Some(begun), &file, &backend).err().expect("the device is gone");
        assert!(error.is_device_lost(), "{error}");
    }
}
