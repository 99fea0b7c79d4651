//! Tables, and lists of labels and values.

use super::style::Style;

/// A table with a heading line.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new<const COLUMNS: usize>(headings: [&'static str; COLUMNS]) -> Self {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has one cell for each heading.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [&str; COLUMNS]) {
        debug_assert_eq!(COLUMNS, self.headings.len());
        self.rows.push(cells.iter().map(|cell| (*cell).to_owned()).collect());
    }

    /// The text; empty for a table without rows.
    pub(crate) fn render(&self, style: Style) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| width(&row[column]));
                cells.chain([width(self.headings[column])]).max().unwrap_or_default()
            })
            .collect();
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let mut text = style.strong(line(&headings, &widths)) + "\n";
        for row in &self.rows {
            text.push_str(&line(row, &widths));
            text.push('\n');
        }
        text
    }
}

/// Labels and values in two columns after `margin`. The lines of a value are below each other.
pub(crate) fn labelled(margin: &str, entries: &[(&str, String)], style: Style) -> String {
    let column = entries.iter().map(|(label, _)| width(label)).max().unwrap_or_default();
    let mut text = String::new();
    for (label, value) in entries {
        for (index, line) in value.lines().enumerate() {
            let label = if index == 0 { *label } else { "" };
            let padding = " ".repeat(column - width(label));
            text.push_str(&format!("{margin}{}{padding}  {line}\n", style.strong(label)));
        }
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, column)| format!("{cell}{}", " ".repeat(column - width(cell)))).collect();
    padded.join("  ").trim_end().to_owned()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["KIND", "NAME", "RESULT"]);
        table.row(["Deployment", "web", "configured"]);
        table.row(["PersistentVolumeClaim", "größe", "unchanged"]);
        insta::assert_snapshot!(table.render(Style::PLAIN), @r"
        KIND                   NAME   RESULT
        Deployment             web    configured
        PersistentVolumeClaim  größe  unchanged
        ");
    }

    #[test]
    fn no_rows_no_table() {
        assert_eq!(Table::new(["KIND"]).render(Style::PLAIN), "");
    }

    #[test]
    fn values_are_in_one_column() {
        let entries = [("Web", "http://127.0.0.1:30080".to_owned()), ("Kubeconfig", "one\ntwo".to_owned())];
        insta::assert_snapshot!(labelled("  ", &entries, Style::PLAIN), @r"
        Web         http://127.0.0.1:30080
        Kubeconfig  one
                    two
        ");
    }
}
