//! Measured figures: medians, spread, the table and the same as JSON. Pure.

use serde_json::{Value, json};

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// s
    Seconds,
    /// ms
    Milliseconds,
    /// MiB
    Mebibytes,
}

/// All figures, in the order in which they were first measured.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    name: String,
    unit: Unit,
    values: Vec<f64>,
}

impl Figures {
    /// Adds one measurement.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, value: f64) {
        match self.0.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.values.push(value),
            None => self.0.push(Figure { name: name.to_owned(), unit, values: vec![value] }),
        }
    }

    /// The table in Markdown. Times get their ratio to `reference`, a figure of the same run: figures of different
    /// machines or days cannot be compared.
    pub(crate) fn table(&self, reference: &str) -> String {
        let reference = self.0.iter().find(|figure| figure.name == reference).map(Figure::seconds);
        let mut text =
            "| what | median | range | runs | ratio to the cold boot |\n| --- | ---: | ---: | ---: | ---: |\n"
                .to_owned();
        for figure in &self.0 {
            let values = figure.sorted();
            let range = match values.as_slice() {
                [least, .., most] => format!("{} to {}", figure.unit.show(*least), figure.unit.show(*most)),
                _ => String::new(),
            };
            let ratio = match (figure.seconds(), reference.flatten()) {
                (Some(seconds), Some(reference)) => format!("{:.4}", seconds / reference),
                _ => String::new(),
            };
            let (name, count, middle) = (&figure.name, values.len(), figure.unit.show(median(&values)));
            text.push_str(&format!("| {name} | {middle} | {range} | {count} | {ratio} |\n"));
        }
        text
    }

    /// The median of a figure in its own unit.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| median(&figure.sorted()))
    }

    /// The table and every single value as JSON; `ratio` is the ratio to `reference`.
    pub(crate) fn json(&self, reference: &str) -> Value {
        let reference = self.0.iter().find(|figure| figure.name == reference).and_then(Figure::seconds);
        let figure = |figure: &Figure| {
            let values = figure.sorted();
            let ratio = figure.seconds().zip(reference).map(|(seconds, reference)| seconds / reference);
            json!({
                "name": figure.name, "unit": figure.unit.symbol(), "median": median(&values), "least": values.first(),
                "most": values.last(), "runs": values.len(), "ratio": ratio, "values": figure.values,
            })
        };
        self.0.iter().map(figure).collect()
    }
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median in seconds; `None` if the figure is not a time.
    fn seconds(&self) -> Option<f64> {
        match self.unit {
            Unit::Seconds => Some(median(&self.sorted())),
            Unit::Milliseconds => Some(median(&self.sorted()) / 1000.0),
            Unit::Mebibytes => None,
        }
    }
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Mebibytes => "MiB",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Milliseconds => format!("{value:.1} ms"),
            Unit::Mebibytes => format!("{value:.0} MiB"),
        }
    }
}

/// The median of sorted values; 0 if there are none.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ranges_and_ratios() {
        let mut figures = Figures::default();
        for value in [60.0, 50.0, 53.5] {
            figures.add("cold boot", Unit::Seconds, value);
        }
        figures.add("status", Unit::Milliseconds, 12.0);
        figures.add("status", Unit::Milliseconds, 14.0);
        figures.add("image", Unit::Mebibytes, 433.3);
        insta::assert_snapshot!(figures.table("cold boot"), @r"
        | what | median | range | runs | ratio to the cold boot |
        | --- | ---: | ---: | ---: | ---: |
        | cold boot | 53.50 s | 50.00 s to 60.00 s | 3 | 1.0000 |
        | status | 13.0 ms | 12.0 ms to 14.0 ms | 2 | 0.0002 |
        | image | 433 MiB |  | 1 |  |
        ");
    }

    #[test]
    fn json_has_the_median_and_every_value() {
        let mut figures = Figures::default();
        figures.add("cold boot", Unit::Seconds, 50.0);
        for value in [30.0, 10.0] {
            figures.add("pause", Unit::Milliseconds, value);
        }
        insta::assert_snapshot!(figures.json("cold boot")[1], @r#"{"name":"pause","unit":"ms","median":20.0,"least":10.0,"most":30.0,"runs":2,"ratio":0.0004,"values":[30.0,10.0]}"#);
        assert_eq!((figures.median("cold boot"), figures.median("reset")), (Some(50.0), None));
    }
}
