//! The tokenizer of BERT: words in lower case without accents, cut into the pieces of a vocabulary.

use std::{collections::HashMap, path::Path};

use regex::Regex;
use stormfire::{data::Result, prelude::DataError};
use unicode_normalization::UnicodeNormalization;

/// Longer words are unknown.
const LONGEST: usize = 100;

/// Cuts texts into the pieces of a `vocab.txt` of BERT. It gives the tokens of Hugging Face's `tokenizers`.
#[derive(Clone, Debug)]
pub struct WordPieces {
    pieces: HashMap<String, u32>,
    /// Characters that are left out.
    ignored: Regex,
    accent: Regex,
    /// A punctuation mark or a Chinese character alone, or a word.
    word: Regex,
    /// The first token of a text, the last, and that of an unknown word.
    special: [u32; 3],
}

impl WordPieces {
    /// Reads a vocabulary: one piece in each line. Pieces inside of a word start with `##`.
    ///
    /// # Errors
    /// For a file that cannot be read, or that lacks `[CLS]`, `[SEP]` or `[UNK]`.
    pub fn read(path: &Path) -> Result<Self> {
        let refused = |reason: String| DataError::other(format!("`{}`: {reason}", path.display()));
        let text = fs_err::read_to_string(path)
            .map_err(|error| DataError::other(format!("{error}; `cargo xtask data` downloads the vocabulary and the weights of MiniLM")))?;
        let pieces: HashMap<String, u32> = text.lines().map(str::to_owned).zip(0..).collect();
        let special = |piece: &str| pieces.get(piece).copied().ok_or_else(|| refused(format!("it has no `{piece}`")));
        let regex = |pattern: &str| Regex::new(pattern).map_err(|error| refused(error.to_string()));
        let han = r"\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}";
        let single = format!(r"\p{{P}}!-/:-@\[-`{{-~{han}");
        Ok(Self {
            special: [special("[CLS]")?, special("[SEP]")?, special("[UNK]")?],
            ignored: regex(r"[\p{C}\u{FFFD}--\t\n\r]")?,
            accent: regex(r"\p{Mn}")?,
            word: regex(&format!(r"[{single}]|[^\s{single}]+"))?,
            pieces,
        })
    }

    /// The tokens of a text, with `[CLS]` and `[SEP]` around them, at most `most`.
    pub fn tokens(&self, text: &str, most: usize) -> Vec<u32> {
        let text = self.ignored.replace_all(text, "");
        let decomposed: String = text.nfd().collect();
        let plain: String = self.accent.replace_all(&decomposed, "").chars().flat_map(char::to_lowercase).collect();
        let [first, last, _] = self.special;
        let words = self.word.find_iter(&plain).flat_map(|word| self.cut(word.as_str()));
        [first].into_iter().chain(words.take(most.saturating_sub(2))).chain([last]).collect()
    }

    /// The longest pieces from left to right.
    fn cut(&self, word: &str) -> Vec<u32> {
        let unknown = || vec![self.special[2]];
        if word.chars().count() > LONGEST {
            return unknown();
        }
        let (mut tokens, mut rest) = (Vec::new(), word.to_owned());
        while !rest.is_empty() && rest != "##" {
            let mut ends = rest.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
            let Some((end, token)) = ends.find_map(|end| Some((end, *self.pieces.get(&rest[..end])?))) else { return unknown() };
            tokens.push(token);
            rest = format!("##{}", &rest[end..]);
        }
        tokens
    }
}
