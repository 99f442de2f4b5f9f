//! From texts to words.

use std::collections::HashMap;

/// How a text becomes words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// At white space.
    #[default]
    Whitespace,
    /// `13a` of sacreBLEU, which is that of `mteval-v13a`: punctuation marks are separate words.
    Mteval13a,
    /// Each character.
    Characters,
}

impl Tokenizer {
    pub(super) fn tokens(self, text: &str) -> Vec<String> {
        match self {
            Tokenizer::Whitespace => text.split_whitespace().map(str::to_owned).collect(),
            Tokenizer::Mteval13a => mteval_13a(text),
            Tokenizer::Characters => text.chars().map(String::from).collect(),
        }
    }
}

/// The rules of `tokenizer_13a.py` and `tokenizer_re.py` in sacreBLEU 2.4.
fn mteval_13a(text: &str) -> Vec<String> {
    let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut apart = String::with_capacity(text.len() + 2);
    for char in format!(" {text} ").chars() {
        // All signs of ASCII but `'`, `,`, `-`, `.`.
        if matches!(char, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/') {
            apart.extend([' ', char, ' ']);
        } else {
            apart.push(char);
        }
    }
    let is_point = |char: char| matches!(char, '.' | ',');
    // Points and commas belong to a number on both of their sides.
    let text = each_pair(&apart, |first, second| !first.is_ascii_digit() && is_point(second), |a, b| [a, ' ', b, ' ']);
    let text = each_pair(&text, |first, second| is_point(first) && !second.is_ascii_digit(), |a, b| [' ', a, ' ', b]);
    let text = each_pair(&text, |first, second| first.is_ascii_digit() && second == '-', |a, b| [a, ' ', b, ' ']);
    text.split_whitespace().map(str::to_owned).collect()
}

/// Replaces pairs of characters from left to right. The pairs do not overlap.
fn each_pair(text: &str, is_it: impl Fn(char, char) -> bool, replace: impl Fn(char, char) -> [char; 4]) -> String {
    let mut replaced = String::with_capacity(text.len() + 8);
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        match rest.clone().next() {
            Some(second) if is_it(first, second) => {
                rest.next();
                replaced.extend(replace(first, second));
            }
            _ => replaced.push(first),
        }
    }
    replaced
}

/// Numbers for words, so that words are compared at the speed of numbers.
#[derive(Default)]
pub(super) struct Words(HashMap<String, u32>);

impl Words {
    pub(super) fn numbers(&mut self, tokens: Vec<String>) -> Vec<u32> {
        tokens
            .into_iter()
            .map(|token| {
                let next = self.0.len() as u32;
                *self.0.entry(token).or_insert(next)
            })
            .collect()
    }
}

/// How often each sequence of `n` words occurs.
pub(super) fn grams(words: &[u32], n: usize) -> HashMap<&[u32], usize> {
    let mut counts = HashMap::new();
    for gram in words.windows(n.max(1)) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_belong_to_numbers() {
        let tokens = |text: &str| Tokenizer::Mteval13a.tokens(text).join(" ");
        assert_eq!(tokens("It costs $1,000.50 (or 3-4), doesn't it?"), "It costs $ 1,000.50 ( or 3 - 4 ) , doesn't it ?");
        assert_eq!(tokens("End.. .5 &quot;a&amp;b&quot; well-\nknown"), "End . . . 5 \" a & b \" wellknown");
        assert_eq!(tokens(""), "");
    }
}
