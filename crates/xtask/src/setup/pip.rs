//! pip, the ordinary client of the registry that carries most of the model parts.

use crate::error::Result;
use crate::run::Run;

/// How pip is called here.
pub(crate) fn command() -> Option<Run> {
    let ways: [(&str, &[&str]); 4] =
        [("python3", &["-m", "pip"]), ("pip3", &[]), ("pip", &[]), ("python", &["-m", "pip"])];
    ways.iter()
        .find(|(program, arguments)| Run::new(program).args(*arguments).arg("--version").capture().is_ok())
        .map(|(program, arguments)| Run::new(program).args(*arguments))
}

pub(super) fn bring() -> Result<()> {
    super::apt::install("pip", &["python3-pip"])
}
