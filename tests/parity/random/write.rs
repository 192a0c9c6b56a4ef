//! Writes the random models as files, for the reference engine to read.

use std::path::PathBuf;
use std::process::ExitCode;

#[path = "models.rs"]
mod models;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: cargo run -p nearside-engine --example random_models -- FOLDER");
        return ExitCode::FAILURE;
    };
    for model in models::models() {
        let path = folder.join(format!("{}.gguf", model.name));
        if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, model.file())) {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}: {} tokens, contexts {:?}", path.display(), model.tokens().len(), model.contexts);
    }
    ExitCode::SUCCESS
}
