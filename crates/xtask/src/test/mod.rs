//! Running tests, all of them or some, and counting them over every runner.

mod hostile;
mod suites;
mod tally;

use std::process::ExitCode;
use std::time::Instant;

pub(crate) use suites::Suite;
use tally::Tally;

use crate::context::Context;
use crate::error::{Result, XtaskError};
use crate::output;
use crate::run::Run;
use crate::setup;

/// Runs suites and ends with the line that says how many tests passed, failed and were skipped.
pub(crate) fn test(context: &Context, suites: &[Suite], filter: Option<&str>) -> ExitCode {
    let start = Instant::now();
    let mut total = Tally::default();
    for &suite in if suites.is_empty() { &suites::ALL } else { suites } {
        let name = format!("test: {suite:?}").to_lowercase();
        let ran = output::step(&name, || suite.run(context, filter));
        match ran {
            Ok(tally) if tally.is_empty() && filter.is_none() => total.fail(format!("{name} ran no test")),
            Ok(tally) => {
                output::say(&format!("         {name}: {}", tally.summary()));
                total.add(tally);
            }
            Err(error) => {
                output::say(&format!("         {error}"));
                total.fail(format!("{name} did not run: {error}"));
            }
        }
    }
    for failure in &total.failures {
        output::say(&format!(" FAILED  {failure}"));
    }
    for (reason, count) in &total.reasons {
        output::say(&format!("skipped  {count} × {reason}"));
    }
    output::say(&format!("         all suites: {}", output::duration(start.elapsed())));
    output::say(&total.summary());
    // Nothing may follow the closing line, so a failure has only its exit status left.
    if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Tells tests where the cache and the built programs are.
pub(crate) fn with_places(context: &Context, run: Run) -> Run {
    // Without a desktop there is no such folder, and the Vulkan loader complains of that once a test.
    let run = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(_) => run,
        None => run.env("XDG_RUNTIME_DIR", std::env::temp_dir()),
    };
    run.env("NEARSIDE_CACHE", context.cache())
        .env("NEARSIDE_MODELS", context.models())
        .env("NEARSIDE_BIN", context.program("nearside"))
        .env("NEARSIDE_SITE_DIST", context.in_root("web/demo/dist"))
}

/// Tells tests where the browser and this program are.
pub(crate) fn with_tools(context: &Context, run: Run) -> Result<Run> {
    let chromium = setup::find_chromium().ok_or_else(|| XtaskError::Missing {
        what: "Chromium".to_owned(),
        remedy: "sudo apt-get install -y --no-install-recommends chromium".to_owned(),
    })?;
    let myself = std::env::current_exe().map_err(|source| XtaskError::Io {
        action: "find",
        path: "this program".into(),
        source,
    })?;
    Ok(with_places(context, run).env("NEARSIDE_CHROMIUM", chromium).env("NEARSIDE_XTASK", myself))
}
