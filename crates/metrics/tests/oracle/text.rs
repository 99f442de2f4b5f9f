//! Perplexity, BLEU, ROUGE, error rates.

use std::ops::Range;

use serde_json::Value;
use stormfire_metrics::text::{BleuOptions, Tokenizer, character_error_rate, perplexity, rouge, sacre_bleu, word_error_rate};

use crate::support::{cases, check};

fn texts(value: &Value, rows: &Range<usize>) -> Vec<String> {
    value.as_array().unwrap()[rows.clone()].iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn texts_equal_those_of_others() {
    for case in cases("text") {
        let predictions = |rows: &Range<usize>| texts(case.input("predictions"), rows);
        let references = |rows: &Range<usize>| -> Vec<Vec<String>> {
            let all = &case.input("references").as_array().unwrap()[rows.clone()];
            all.iter().map(|texts_of| texts(texts_of, &(0..texts_of.as_array().unwrap().len()))).collect()
        };
        let firsts = |rows: &Range<usize>| -> Vec<String> { references(rows).into_iter().map(|mut all| all.remove(0)).collect() };
        for (key, expected) in case.expected() {
            match key.split('/').collect::<Vec<_>>()[..] {
                ["bleu", order, smooth] => {
                    let options = BleuOptions::new().max_order(order.parse().unwrap()).unwrap().smooth(smooth == "True");
                    check(&case, key, &expected, |rows| options.bleu(&predictions(&rows), &references(&rows)).unwrap());
                }
                ["sacre_bleu"] => check(&case, key, &expected, |rows| sacre_bleu(&predictions(&rows), &references(&rows)).unwrap()),
                ["sacre_bleu", "lowercase"] => {
                    let options = BleuOptions::new().tokenizer(Tokenizer::Mteval13a).lowercase(true);
                    check(&case, key, &expected, |rows| options.bleu(&predictions(&rows), &references(&rows)).unwrap());
                }
                ["rouge"] => check(&case, key, &expected, |rows| rouge(&predictions(&rows), &references(&rows)).unwrap()),
                ["wer"] => check(&case, key, &expected, |rows| word_error_rate(&predictions(&rows), &firsts(&rows)).unwrap()),
                ["cer"] => check(&case, key, &expected, |rows| character_error_rate(&predictions(&rows), &firsts(&rows)).unwrap()),
                _ => panic!("no metric `{key}`"),
            }
        }
    }
}

#[test]
fn perplexity_equals_torchmetrics() {
    for case in cases("perplexity") {
        for (key, expected) in case.expected() {
            check(&case, key, &expected, |rows| {
                perplexity(&case.floats::<3>("logits", &rows, &[]), &case.ints::<2>("targets", &rows), case.ignore_index()).unwrap()
            });
        }
    }
}
