//! A change of a layer, as it is journalled before it is made.

use serde::{Deserialize, Serialize};

use super::error::LayerError;
use super::line;
use crate::api::check_name;

/// A change of one layer's file. Making it twice is the same as making it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerOp {
    /// Adds a feature at the end.
    Append {
        /// Layer.
        layer: String,
        /// The feature's stable id.
        id: String,
        /// The feature as one line of GeoJSON, without the newline.
        #[serde(skip)]
        line: String,
    },
    /// Puts another line in a feature's place, where it is there.
    Replace {
        /// Layer.
        layer: String,
        /// The feature's stable id.
        id: String,
        /// The feature as it is to be, as of an append.
        #[serde(skip)]
        line: String,
    },
    /// Takes a feature out.
    Remove {
        /// Layer.
        layer: String,
        /// The feature's stable id.
        id: String,
    },
}

impl LayerOp {
    /// An append; the line is checked.
    ///
    /// # Errors
    /// If the layer's name breaks the rules, or the line is not one line holding a GeoJSON Feature with that id.
    pub fn append(layer: &str, id: &str, line: String) -> Result<Self, LayerError> {
        check_line(layer, id, &line)?;
        Ok(Self::Append { layer: layer.to_owned(), id: id.to_owned(), line })
    }

    /// A replacement; the line is checked.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn replace(layer: &str, id: &str, line: String) -> Result<Self, LayerError> {
        check_line(layer, id, &line)?;
        Ok(Self::Replace { layer: layer.to_owned(), id: id.to_owned(), line })
    }

    /// A removal.
    ///
    /// # Errors
    /// If the layer's name breaks the rules.
    pub fn remove(layer: &str, id: &str) -> Result<Self, LayerError> {
        check_layer(layer)?;
        Ok(Self::Remove { layer: layer.to_owned(), id: id.to_owned() })
    }

    /// The layer.
    pub fn layer(&self) -> &str {
        match self {
            Self::Append { layer, .. } | Self::Replace { layer, .. } | Self::Remove { layer, .. } => layer,
        }
    }

    /// The feature's stable id.
    pub fn id(&self) -> &str {
        match self {
            Self::Append { id, .. } | Self::Replace { id, .. } | Self::Remove { id, .. } => id,
        }
    }

    /// The line that it brings; empty for a removal.
    pub fn line(&self) -> &str {
        match self {
            Self::Append { line, .. } | Self::Replace { line, .. } => line,
            Self::Remove { .. } => "",
        }
    }

    /// The same with its line, which stands apart from the rest in the journal.
    #[must_use]
    pub fn with_line(mut self, text: String) -> Self {
        match &mut self {
            Self::Append { line, .. } | Self::Replace { line, .. } => *line = text,
            Self::Remove { .. } => {}
        }
        self
    }
}

/// A change that is durable in the store's journal and is to be made in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its place in the order.
    pub seq: u64,
    /// The change.
    pub op: LayerOp,
}

fn check_line(layer: &str, id: &str, line: &str) -> Result<(), LayerError> {
    check_layer(layer)?;
    let problem = if line.contains('\n') {
        Some("has a line break in it".to_owned())
    } else {
        match line::head(line.as_bytes()) {
            Ok(head) if head.id.as_deref() == Some(id) => None,
            Ok(_) => Some(format!("does not carry the id {id:?}")),
            Err(problem) => Some(problem.to_owned()),
        }
    };
    problem.map_or(Ok(()), |problem| Err(LayerError::BadFeature { layer: layer.to_owned(), problem }))
}

pub(super) fn check_layer(layer: &str) -> Result<(), LayerError> {
    check_name(layer).map_err(|problem| LayerError::BadName { layer: layer.to_owned(), problem })
}
