//! Where TensorRT's engines are kept: a directory for each GPU, version of TensorRT, model and precision.
//!
//! ONNX Runtime recognises an engine by the shape of its graph, not by its weights, and TensorRT loads an engine only
//! on the GPU and in the version that built it. So nothing may be shared beyond one such directory, except the timings
//! of kernels, which are those of the GPU.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The directories of one model's engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePlace {
    /// Kernel timings, shared by the models of a GPU and a version of TensorRT.
    pub timings: PathBuf,
    /// Engines of the `prepare` graph.
    pub prepare: PathBuf,
    /// Engines of the `decode` graph.
    pub decode: PathBuf,
}

impl EnginePlace {
    /// The place of the engines that are built from these graphs (serialized, weights included).
    pub fn new(root: &Path, gpu: &str, tensorrt: &str, graphs: [&[u8]; 2], fp16: bool) -> Self {
        let timings = root.join(plain(gpu)).join(format!("tensorrt-{}", plain(tensorrt)));
        let hash = graphs.into_iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let model = timings.join(format!("{hash}-{}", if fp16 { "fp16" } else { "fp32" }));
        Self { prepare: model.join("prepare"), decode: model.join("decode"), timings }
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.prepare)?;
        std::fs::create_dir_all(&self.decode)
    }

    /// Engines that lie here.
    pub fn engines(&self) -> usize {
        [&self.prepare, &self.decode].into_iter().map(|dir| engines_in(dir)).sum()
    }
}

fn engines_in(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    files.filter(|file| file.path().extension().is_some_and(|e| e == "engine")).count()
}

/// The GPU's name as the system tells it: a Jetson's device tree, NVIDIA's driver, or its number on the PCI bus (a
/// hardened unit may not see the driver's files).
pub(super) fn gpu_name(device: u32) -> Option<String> {
    let model = std::fs::read_to_string("/sys/firmware/devicetree/base/model").unwrap_or_default();
    if model.contains("NVIDIA") {
        return Some(model.trim_end_matches('\0').trim().to_owned());
    }
    let read = |dir: PathBuf, file: &str| std::fs::read_to_string(dir.join(file)).ok();
    let of_driver = directories("/proc/driver/nvidia/gpus").into_iter().filter_map(|gpu| {
        let text = read(gpu, "information")?;
        Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned())
    });
    let on_bus = directories("/sys/bus/pci/devices").into_iter().filter_map(|gpu| {
        let [vendor, class, id] = ["vendor", "class", "device"].map(|file| read(gpu.clone(), file));
        // NVIDIA's; a display controller.
        let is_gpu = vendor?.trim() == "0x10de" && class?.starts_with("0x03");
        is_gpu.then_some(format!("pci-10de-{}", id?.trim().trim_start_matches("0x")))
    });
    let of_driver: Vec<String> = of_driver.collect();
    let gpus = if of_driver.is_empty() { on_bus.collect() } else { of_driver };
    gpus.get(device as usize).cloned()
}

fn directories(of: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A name as one of a directory.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().take(80).map(plain).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(gpu: &str, tensorrt: &str, graphs: [&[u8]; 2], fp16: bool) -> EnginePlace {
        EnginePlace::new(Path::new("/state/engines"), gpu, tensorrt, graphs, fp16)
    }

    #[test]
    fn whatever_makes_another_engine_gives_another_directory() {
        let base = place("NVIDIA Jetson Orin Nano", "8.5.2", [b"a", b"b"], false);
        for other in [
            place("NVIDIA Jetson AGX Orin", "8.5.2", [b"a", b"b"], false),
            place("NVIDIA Jetson Orin Nano", "10.3.0", [b"a", b"b"], false),
            place("NVIDIA Jetson Orin Nano", "8.5.2", [b"a", b"c"], false),
            place("NVIDIA Jetson Orin Nano", "8.5.2", [b"a", b"b"], true),
        ] {
            assert_ne!((&base.prepare, &base.decode), (&other.prepare, &other.decode));
        }
        assert_eq!(base.timings, Path::new("/state/engines/NVIDIA-Jetson-Orin-Nano/tensorrt-8.5.2"));
        assert_ne!(base.prepare, base.decode);
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let place = place("../../etc", "", [b"a", b"b"], false);
        assert_eq!(place.timings, Path::new("/state/engines/-..-etc/tensorrt-unknown"));
    }

    #[test]
    fn engines_are_counted_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = EnginePlace::new(dir.path(), "g", "1", [b"a", b"b"], false);
        assert_eq!(place.engines(), 0);
        place.create().unwrap();
        for name in ["x.engine", "x.profile", "y.engine"] {
            std::fs::write(place.decode.join(name), "").unwrap();
        }
        assert_eq!(place.engines(), 2);
    }
}
