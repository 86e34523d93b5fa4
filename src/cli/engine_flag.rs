//! `--engine`, for the commands that decode.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::engine::EngineChoice;

/// The engines of the service.
pub(super) fn any_engine() -> impl TypedValueParser<Value = EngineChoice> {
    PossibleValuesParser::new(EngineChoice::ALL.map(EngineChoice::as_str))
        .try_map(|word| EngineChoice::parse(&word))
}

/// The engines of one prompt: those on the processor.
pub(super) fn processor_engine() -> impl TypedValueParser<Value = EngineChoice> {
    PossibleValuesParser::new(EngineChoice::ALL.map(EngineChoice::as_str)).try_map(|word| {
        match EngineChoice::parse(&word) {
            Ok(EngineChoice::TensorRt) => Err(
                "decodes for `serve` only, since loading it takes longer than a prompt; give auto, fused or \
                 tract (`doctor` measures it)",
            ),
            parsed => parsed,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[arg(long, value_parser = any_engine())]
        any: Option<EngineChoice>,
        #[arg(long, value_parser = processor_engine())]
        processor: Option<EngineChoice>,
    }

    #[test]
    fn one_prompt_is_decoded_on_the_processor_only() {
        let parse = |line: &str| Command::try_parse_from(line.split(' '));
        let parsed = parse("x --any tract --processor fused").unwrap();
        assert_eq!((parsed.any, parsed.processor), (Some(EngineChoice::Tract), Some(EngineChoice::Fused)));
        assert!(parse("x --processor tensorrt").is_err());
        let unknown = parse("x --any gpu").unwrap_err().to_string();
        assert!(unknown.contains("auto, fused, tract, tensorrt"), "{unknown}");
    }
}
