//! The table that `validate` and `test` print.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle, presets};
use stormfire_loggers::Metrics;

/// The style of the Trainer's tables: horizontal lines around them, none between the rows.
pub const STYLE: TableStyle = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());

/// One row per metric, one column per loader, as in Lightning.
pub(crate) fn results_table(title: &str, results: &[Metrics]) -> String {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (loader, metrics) in results.iter().enumerate() {
        for (name, value) in metrics.iter() {
            let name = name.strip_suffix(&format!("/dataloader_idx_{loader}")).unwrap_or(name);
            let row = rows.entry(name.to_string()).or_insert_with(|| vec![String::new(); results.len()]);
            row[loader] = format_value(value);
        }
    }
    let mut table = Table::new();
    table.load_style(STYLE);
    let header = std::iter::once(title.to_string()).chain((0..results.len()).map(|loader| format!("DataLoader {loader}")));
    table.set_header(header);
    for (name, values) in rows {
        table.add_row(std::iter::once(name).chain(values));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Formats with six significant digits, the precision of an `f32`.
pub fn format_value(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let digits = (5 - magnitude.log10().floor() as i64).max(0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn metrics_are_rows_and_loaders_columns() {
        let first = Metrics::from([("test_loss/dataloader_idx_0", 0.123_456_78), ("test_acc/dataloader_idx_0", 1.0)]);
        let second = Metrics::from([("test_loss/dataloader_idx_1", 2.5e-7), ("shared", f64::NAN)]);
        assert_snapshot!(results_table("Test metric", &[first, second]), @"
        ───────────────────────────────────────────
         Test metric   DataLoader 0   DataLoader 1 
        ═══════════════════════════════════════════
         shared                                NaN 
         test_acc                 1                
         test_loss         0.123457     2.50000e-7 
        ───────────────────────────────────────────
        ");
    }
}
