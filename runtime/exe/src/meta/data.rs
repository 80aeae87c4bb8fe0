//! Where data comes from.

/// A source of rows and what is done to them.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The source and the stages after it.
    pub stages: Vec<Stage>,
    /// Its place in the source.
    pub place: String,
}

/// What a token of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// A character of the text.
    Chars,
    /// A byte.
    Bytes,
    /// What stands in a line of this file.
    List(String),
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Numbers in a text file, divided by commas.
    Csv {
        /// The file.
        path: String,
        /// Does its first line have the names?
        header: bool,
    },
    /// Arrays whose first axis is the rows.
    Arrays {
        /// A .npz or .safetensors file, or a folder of .npy.
        path: String,
    },
    /// PNG and JPEG files, a folder for each label.
    Images {
        /// The folder of folders.
        dir: String,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// A text in windows.
    Text {
        /// The file.
        path: String,
        /// What a token is.
        tokens: Tokens,
        /// Tokens of a row.
        window: usize,
    },
    /// Pairs of texts, padded to one of some lengths.
    Pairs {
        /// The file: two texts a line, divided by a tab.
        path: String,
        /// A file with a token a line.
        vocab: String,
        /// The lengths, rising.
        buckets: Vec<usize>,
    },
    /// A part of the rows.
    Split(f64),
    /// What a split with the same part leaves out.
    Rest(f64),
    /// New and old names of columns.
    Rename(Vec<(String, String)>),
    /// Images changed by chance, in training.
    Augment {
        /// May left and right be swapped?
        flip: bool,
        /// Part of each side that is cut off.
        crop: f64,
        /// Largest angle in degrees.
        rotate: f64,
    },
    /// Images and labels in the format of MNIST.
    Idx {
        /// Of the two file names.
        prefix: String,
        /// Are there labels?
        labels: bool,
    },
    /// Images to one size.
    Resize {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// A buffered shuffle.
    Shuffle {
        /// Rows that it holds.
        buffer: usize,
    },
    /// The first rows.
    Take(usize),
    /// All but the first rows.
    Skip(usize),
    /// Rows of a batch.
    Batch(usize),
    /// One that this runtime doesn't know.
    Unknown(String),
}
