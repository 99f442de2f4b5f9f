//! Reads the losses of a run from its `metrics.csv`, and compares two runs.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// One value of the training loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) step: u64,
    pub(crate) value: f64,
}

/// The training losses by step. A logger calls them `train_loss_step` when the mean over the epoch is logged too.
pub(crate) fn read(file: &Path) -> Result<Vec<Loss>> {
    parse(&fs_err::read_to_string(file)?).with_context(|| format!("in `{}`", file.display()))
}

fn parse(text: &str) -> Result<Vec<Loss>> {
    // The header can be longer than earlier rows, because a run can add columns.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let step = column("step").context("no column `step`")?;
    let loss = column("train_loss_step").or_else(|| column("train_loss")).context("no column `train_loss_step` or `train_loss`")?;
    let mut losses = Vec::new();
    for row in reader.records() {
        let row = row?;
        let Some(text) = row.get(loss).filter(|text| !text.is_empty()) else {
            continue;
        };
        let value: f64 = text.parse().with_context(|| format!("`{text}` is not a number"))?;
        losses.push(Loss { step: row.get(step).unwrap_or_default().parse().context("a row has no step")?, value });
    }
    Ok(losses)
}

/// Fails unless both runs logged `count` finite losses at the same steps, equal to within `tolerance` of their size.
pub(crate) fn compare(cpu: &[Loss], other: &[Loss], count: usize, tolerance: f64) -> Result<f64> {
    if cpu.len() != count || other.len() != count {
        bail!("expected {count} losses from each run, the CPU logged {} and the other {}", cpu.len(), other.len());
    }
    let mut largest: f64 = 0.0;
    for (cpu, other) in cpu.iter().zip(other) {
        if cpu.step != other.step {
            bail!("the CPU logged step {} where the other logged step {}", cpu.step, other.step);
        }
        let difference = (cpu.value - other.value).abs() / cpu.value.abs().max(f64::MIN_POSITIVE);
        // The maximum of the differences would hide a NaN.
        if difference.is_nan() || difference > tolerance {
            bail!("at step {} the loss is {} on the CPU and {} on the other device", cpu.step, cpu.value, other.value);
        }
        largest = largest.max(difference);
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(values: &[f64]) -> Vec<Loss> {
        (0..).zip(values).map(|(step, value)| Loss { step, value: *value }).collect()
    }

    #[test]
    fn empty_cells_and_short_rows_are_not_losses() {
        let text = "step,train_loss_step,val_loss\n0,2.5\n1,,0.5\n2,1.25,\n";
        assert_eq!(parse(text).unwrap(), [Loss { step: 0, value: 2.5 }, Loss { step: 2, value: 1.25 }]);
        assert_eq!(parse("epoch,step,train_loss\n0,7,nan\n").unwrap()[0].step, 7);
    }

    #[test]
    fn a_file_without_losses_is_refused() {
        assert!(parse("step,val_loss\n0,1\n").unwrap_err().to_string().contains("train_loss_step"));
        assert!(parse("train_loss\n1\n").unwrap_err().to_string().contains("`step`"));
        assert!(parse("step,train_loss\n0,much\n").unwrap_err().to_string().contains("`much`"));
    }

    #[test]
    fn a_difference_in_value_step_length_or_nan_is_found() {
        let cpu = losses(&[2.0, 1.0]);
        assert!((compare(&cpu, &losses(&[2.001, 1.0]), 2, 1e-3).unwrap() - 0.0005).abs() < 1e-9);
        for other in [&[2.01, 1.0][..], &[2.0], &[2.0, f64::NAN], &[2.0, f64::INFINITY]] {
            assert!(compare(&cpu, &losses(other), 2, 1e-3).is_err(), "{other:?}");
        }
        let mut shifted = losses(&[2.0, 1.0]);
        shifted[1].step = 5;
        assert!(compare(&cpu, &shifted, 2, 1e-3).unwrap_err().to_string().contains("step 5"));
        assert!(compare(&losses(&[f64::NAN]), &losses(&[f64::NAN]), 1, 1e-3).is_err());
        assert!(compare(&[], &[], 2, 1e-3).is_err());
    }
}
