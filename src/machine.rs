//! What a report says of the machine: enough to compare boards, nothing that names this one.

use serde::Serialize;

/// The machine, in words and numbers.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The board where the device tree names it, else the processor.
    pub processor: String,
    /// The processor's architecture, as Rust names it.
    pub architecture: &'static str,
    /// The vectors that the fused executor computes with.
    pub instruction_set: &'static str,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory of the machine, in MB.
    pub memory_mb: Option<f64>,
    /// The operating system.
    pub system: &'static str,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        Self {
            processor: processor(),
            architecture: std::env::consts::ARCH,
            instruction_set: crate::decoder::instruction_set(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: kilobytes("/proc/meminfo", "MemTotal").map(|kb| (kb / 1e3).round()),
            system: std::env::consts::OS,
        }
    }

    /// Its memory, in words.
    pub fn memory(&self) -> String {
        self.memory_mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{:.1} GB", mb / 1e3))
    }
}

/// The board where the device tree names it, else the processor.
pub fn processor() -> String {
    let board = std::fs::read_to_string("/proc/device-tree/model").ok();
    let board = board.map(|name| name.trim_end_matches('\0').to_owned());
    let processor = || {
        let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        field(&text, "model name").map(str::to_owned)
    };
    board.or_else(processor).unwrap_or_else(|| "unknown processor".to_owned())
}

/// Most memory that this process has had resident, in MB; `None` where the system does not tell.
pub fn peak_memory_mb() -> Option<f64> {
    kilobytes("/proc/self/status", "VmHWM").map(|kb| (kb / 1e2).round() / 1e1)
}

fn kilobytes(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    field(&text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

/// The value of a line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "processor\t: 0\nmodel name\t: A chip @ 1 GHz\nMemTotal:   100 kB\n";
        assert_eq!(field(text, "model name"), Some("A chip @ 1 GHz"));
        assert_eq!(field(text, "MemTotal"), Some("100 kB"));
        assert_eq!(field(text, "model"), None);
    }
}
