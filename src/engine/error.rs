//! What can go wrong on the way of a prompt, with the code a client sees.

use crate::ErrorCode;
use crate::catalog::CatalogError;
use crate::decoder::DecoderError;
use crate::features::FeaturesError;
use crate::geo::GeoError;
use crate::models::ModelsError;

/// Why a prompt has no mask.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither points nor a box.
    #[error("the request has neither \"points\" nor \"bbox\"; one of them is needed")]
    EmptyPrompt,
    /// The request names a folder that is not served.
    #[error("no folder is called \"{name}\"; served are: {served}")]
    UnknownFolder {
        /// The name in the request.
        name: String,
        /// The names that are served.
        served: String,
    },
    /// The request names a directory, and several of that name are served.
    #[error("several folders are called \"{name}\"; ask for one of {served}")]
    SeveralFolders {
        /// The name in the request.
        name: String,
        /// Their names, with their directories.
        served: String,
    },
    /// Everything is asked of one folder, and there are several.
    #[error("there are several folders, {names}; say which one")]
    WhichFolder {
        /// Their names.
        names: String,
    },
    /// Everything is asked of a box that lies between the points of the grid.
    #[error(
        "no point of the grid falls into the box of {area}: with {per_side} points along each side of a chip they lie{apart} \
         apart; raise points_per_side (to 128 at the most), or take a larger box"
    )]
    NoGridPoint {
        /// Width and height of the box, with their unit.
        area: String,
        /// Points along each side of a chip.
        per_side: u16,
        /// How far the points lie apart, after a space.
        apart: String,
    },
    /// No folder is served at all.
    #[error("no feature folder is ready; put a card with a Geo-SAM folder in, or check `info`")]
    NoFolder,
    /// An index that no chip has: a fault of ours.
    #[error("folder {folder} has no chip {index}")]
    NoSuchChip {
        /// The folder's name.
        folder: String,
        /// The index.
        index: usize,
    },
    /// The answer does not fit, however coarse.
    #[error(
        "the outlines have {bytes} bytes where there is room for {limit}{coarsest}. What helps, in \"output\": a larger \
         max_bytes{advice}"
    )]
    TooLarge {
        /// Smallest size reached.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// ` (simplified by 64 pixels)`, where that was tried.
        coarsest: String,
        /// What else helps, after what always does.
        advice: String,
    },
    /// The mask to start from is of something else.
    #[error(
        "the mask to start from is {mask}, and this prompt is answered {prompt}; ask without \"mask_of\", and refine that \
         answer"
    )]
    OtherMask {
        /// What the mask is of.
        mask: String,
        /// What the prompt is answered on, to follow "answered".
        prompt: String,
    },
    /// The folder, its manifest, or the choice of a chip.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The chip's file.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The decoder's files.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The decoder itself.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Masks of impossible shapes.
    #[error(transparent)]
    Mask(#[from] crate::mask::MaskError),
    /// A CRS or a coordinate.
    #[error(transparent)]
    Geo(#[from] GeoError),
    /// A folder whose CRS cannot be used with other coordinates.
    #[error(
        "folder {folder}: {source}; reproject the raster to a supported CRS, for example its UTM zone, before encoding, \
         or use \"source\" as CRS of the prompt and of the answer"
    )]
    FolderCrs {
        /// The folder's name.
        folder: String,
        /// Why.
        source: GeoError,
    },
    /// A prompt in a CRS that cannot be read.
    #[error(
        "the prompt's coordinates: {0}; give them in EPSG:4326 or another CRS of docs/crs.md, or in \"source\""
    )]
    PromptCrs(GeoError),
    /// An answer in a CRS that cannot be written.
    #[error(
        "the answer's coordinates: {0}; ask for EPSG:4326 or another CRS of docs/crs.md, or for \"source\""
    )]
    OutputCrs(GeoError),
    /// A prompt that lies nowhere, and on a chip with its coordinates exchanged.
    #[error("{source}. {}, {} would be inside: longitude, or easting, comes first", position[0], position[1])]
    Swapped {
        /// What was wrong with it as it is.
        source: Box<EngineError>,
        /// Its first position, exchanged.
        position: [f64; 2],
    },
}

impl EngineError {
    /// The code that a response carries.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::EmptyPrompt | Self::NoGridPoint { .. } => ErrorCode::BadRequest,
            Self::UnknownFolder { .. } | Self::SeveralFolders { .. } | Self::WhichFolder { .. } => {
                ErrorCode::UnknownFolder
            }
            Self::NoFolder => ErrorCode::FolderNotReady,
            Self::NoSuchChip { .. } => ErrorCode::Internal,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::OtherMask { .. } => ErrorCode::MaskMismatch,
            Self::Catalog(e) => e.code(),
            Self::Features(e) => e.code(),
            Self::Models(e) => e.code(),
            Self::Decoder(e) => e.code(),
            Self::Mask(e) => e.code(),
            Self::Swapped { source, .. } => source.code(),
            // The place is covered; it is the CRS that the client asked for that cannot express it.
            Self::OutputCrs(GeoError::OutOfDomain { .. }) => ErrorCode::BadRequest,
            Self::Geo(e) | Self::FolderCrs { source: e, .. } | Self::PromptCrs(e) | Self::OutputCrs(e) => {
                e.code()
            }
        }
    }
}
