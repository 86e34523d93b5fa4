//! The stable error codes of the MQTT interface. Messages and causes live with the module that fails.

use serde::{Deserialize, Serialize};

/// A code that clients may match on; it never changes its meaning between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request is not valid JSON, or a key or value is wrong.
    BadRequest,
    /// The request topic ends in a verb that does not exist.
    UnknownVerb,
    /// A CRS is not in the tested list.
    UnknownCrs,
    /// The prompt lies outside the imagery.
    NoChipCovers,
    /// No one chip holds the whole prompt, or a point or box lies outside the chosen one.
    OutsideChip,
    /// No folder of that name is served.
    UnknownFolder,
    /// The session does not exist (any more).
    UnknownSession,
    /// The layer does not exist.
    UnknownLayer,
    /// The layer has no object of that id.
    UnknownObject,
    /// No mask of such an answer is kept.
    UnknownMask,
    /// The session has no mask to save, or the layer no object to take back.
    NothingToSave,
    /// The request would begin a layer, and there are as many as this board keeps.
    TooManyLayers,
    /// The layer that the request would add to is as large as this board keeps one.
    LayerFull,
    /// The folder is known but cannot be served now.
    FolderNotReady,
    /// The folder's decoder has not been imported.
    ModelMissing,
    /// The folder was encoded with another checkpoint or family.
    ModelMismatch,
    /// The mask to start from is of another chip, folder or model than the prompt is answered with.
    MaskMismatch,
    /// The chip's file is missing, truncated or not what the manifest says.
    ChipUnreadable,
    /// The answer does not fit the requested size.
    TooLarge,
    /// The request waited longer than its `ttl_ms`.
    Expired,
    /// A newer preview of the same client took its place.
    Superseded,
    /// Too much is waiting; try again later.
    Busy,
    /// The client took the request back.
    Cancelled,
    /// The same id came with another payload, for a verb that changes state.
    IdReused,
    /// The same request was carried out before, and its answer is no longer kept.
    AlreadyDone,
    /// The broker does not let the answer through: it refuses it, or ends the connection on it.
    Undeliverable,
    /// The card with the folder is gone or failing.
    CardError,
    /// A fault of ours.
    Internal,
}

impl ErrorCode {
    /// All codes, in the order of the documentation.
    pub const ALL: [Self; 28] = [
        Self::BadRequest,
        Self::UnknownVerb,
        Self::UnknownCrs,
        Self::NoChipCovers,
        Self::OutsideChip,
        Self::UnknownFolder,
        Self::UnknownSession,
        Self::UnknownLayer,
        Self::UnknownObject,
        Self::UnknownMask,
        Self::NothingToSave,
        Self::TooManyLayers,
        Self::LayerFull,
        Self::FolderNotReady,
        Self::ModelMissing,
        Self::ModelMismatch,
        Self::MaskMismatch,
        Self::ChipUnreadable,
        Self::TooLarge,
        Self::Expired,
        Self::Superseded,
        Self::Busy,
        Self::Cancelled,
        Self::IdReused,
        Self::AlreadyDone,
        Self::Undeliverable,
        Self::CardError,
        Self::Internal,
    ];

    /// Whether the same request may succeed later without being changed.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::FolderNotReady | Self::Expired | Self::Busy | Self::CardError | Self::Internal)
    }

    /// The code as it stands in a response, for example `NO_CHIP_COVERS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::UnknownVerb => "UNKNOWN_VERB",
            Self::UnknownCrs => "UNKNOWN_CRS",
            Self::NoChipCovers => "NO_CHIP_COVERS",
            Self::OutsideChip => "OUTSIDE_CHIP",
            Self::UnknownFolder => "UNKNOWN_FOLDER",
            Self::UnknownSession => "UNKNOWN_SESSION",
            Self::UnknownLayer => "UNKNOWN_LAYER",
            Self::UnknownObject => "UNKNOWN_OBJECT",
            Self::UnknownMask => "UNKNOWN_MASK",
            Self::NothingToSave => "NOTHING_TO_SAVE",
            Self::TooManyLayers => "TOO_MANY_LAYERS",
            Self::LayerFull => "LAYER_FULL",
            Self::FolderNotReady => "FOLDER_NOT_READY",
            Self::ModelMissing => "MODEL_MISSING",
            Self::ModelMismatch => "MODEL_MISMATCH",
            Self::MaskMismatch => "MASK_MISMATCH",
            Self::ChipUnreadable => "CHIP_UNREADABLE",
            Self::TooLarge => "TOO_LARGE",
            Self::Expired => "EXPIRED",
            Self::Superseded => "SUPERSEDED",
            Self::Busy => "BUSY",
            Self::Cancelled => "CANCELLED",
            Self::IdReused => "ID_REUSED",
            Self::AlreadyDone => "ALREADY_DONE",
            Self::Undeliverable => "UNDELIVERABLE",
            Self::CardError => "CARD_ERROR",
            Self::Internal => "INTERNAL",
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
