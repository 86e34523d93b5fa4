//! Which engine is asked for: the word in settings and flags, and what it comes to in this program.

use crate::decoder::CpuEngine;

/// Which engine decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The best that this machine has: TensorRT where it was built in and its library is there, otherwise the fused
    /// executor.
    #[default]
    Auto,
    /// The executor of our own, on the processor.
    Fused,
    /// The plain graphs on tract, on the processor: slower, and what the fused executor is verified against.
    Tract,
    /// NVIDIA's, where it can be loaded; otherwise as [`Auto`](Self::Auto), and an event says so.
    TensorRt,
}

impl EngineChoice {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Fused, Self::Tract, Self::TensorRt];

    /// The word in settings and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fused => CpuEngine::Fused.as_str(),
            Self::Tract => CpuEngine::Tract.as_str(),
            Self::TensorRt => "tensorrt",
        }
    }

    /// The choice that a word stands for, if this program can follow it.
    ///
    /// # Errors
    /// What is wrong with the word, to be read behind the name of the setting: no engine has that name, or this
    /// program was built without it.
    pub fn parse(word: &str) -> Result<Self, &'static str> {
        Self::parse_where(word, CpuEngine::Tract.is_built_in(), cfg!(feature = "tensorrt"))
    }

    /// The same in a program that has tract and TensorRT, or lacks them.
    fn parse_where(word: &str, tract: bool, tensorrt: bool) -> Result<Self, &'static str> {
        let choice = Self::ALL.into_iter().find(|choice| choice.as_str() == word);
        let choice = choice.ok_or("is no engine; give \"auto\", \"fused\", \"tract\" or \"tensorrt\"")?;
        match choice {
            Self::Tract if !tract => Err(
                "asks for tract, which this program was built without; give \"auto\" or \"fused\", or install a \
                 program that was built with the cargo feature \"tract\" (the default)",
            ),
            Self::TensorRt if !tensorrt => Err(
                "asks for TensorRT, which this program was built without; give \"auto\" or \"fused\", or install a \
                 program that was built with the cargo feature \"tensorrt\"",
            ),
            choice => Ok(choice),
        }
    }

    /// The engine on the processor, which decodes where no other does.
    pub const fn on_the_processor(self) -> CpuEngine {
        match self {
            Self::Tract => CpuEngine::Tract,
            Self::Auto | Self::Fused | Self::TensorRt => CpuEngine::Fused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_called_by_its_name_and_one_that_the_program_lacks_is_refused_with_advice() {
        for choice in EngineChoice::ALL {
            assert_eq!(EngineChoice::parse_where(choice.as_str(), true, true), Ok(choice));
        }
        for choice in [EngineChoice::Auto, EngineChoice::Fused] {
            assert_eq!(EngineChoice::parse_where(choice.as_str(), false, false), Ok(choice));
        }
        for lacking in ["tract", "tensorrt"] {
            let problem = EngineChoice::parse_where(lacking, false, false).unwrap_err();
            assert!(problem.contains(&format!("cargo feature \"{lacking}\"")), "{problem}");
            assert!(problem.contains("give \"auto\""), "{problem}");
        }
        let unknown = EngineChoice::parse("gpu").unwrap_err();
        for choice in EngineChoice::ALL {
            assert!(unknown.contains(choice.as_str()), "{unknown}");
        }
        assert_eq!(EngineChoice::Tract.on_the_processor(), CpuEngine::Tract);
        assert_eq!(EngineChoice::Auto.on_the_processor(), CpuEngine::Fused);
    }
}
