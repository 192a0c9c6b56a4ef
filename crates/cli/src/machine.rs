//! What a measurement ran on.

use serde::Serialize;

/// The machine in a report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name, where the system tells it.
    pub(crate) cpu: Option<String>,
    /// Threads that can run at once.
    pub(crate) threads: usize,
    /// Such as `linux`.
    pub(crate) system: &'static str,
    /// Such as `x86_64`.
    pub(crate) architecture: &'static str,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        Self {
            cpu: std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text)),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            system: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::cpu_model;

    #[test]
    fn the_first_model_name_is_taken() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text).as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }
}
