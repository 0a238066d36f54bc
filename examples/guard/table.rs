//! Figures for people.

use crate::baseline::Section;
use crate::callgrind::Cost;
use crate::verdict::Row;

/// Functions shown of a step.
const TOP: usize = 10;
/// Longer names are cut: generics run on for lines.
const NAME_CHARS: usize = 100;

/// One line per row, in columns.
pub(crate) fn print(section: Section, rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(5);
    let (what, now) = match section {
        Section::Times => ("bench", "ratio now"),
        Section::Counts => ("step", "now"),
    };
    let ns = |text: &str| if section == Section::Times { format!("  {text:>10}") } else { String::new() };
    println!(
        "{what:<width$}{}  {now:>12}  {:>12}  {:>8}  {:>8}  verdict",
        ns("ns now"),
        "baseline",
        "change",
        "allowed"
    );
    for row in rows {
        let figure = |value: Option<f64>| match (section, value) {
            (_, None) => "-".to_owned(),
            (Section::Times, Some(ratio)) => format!("{ratio:.3}"),
            (Section::Counts, Some(count)) => format!("{count:.0}"),
        };
        println!(
            "{:<width$}{}  {:>12}  {:>12}  {:>8}  {:>8}  {}",
            row.name,
            ns(&row.ns.map_or("-".to_owned(), |ns| format!("{ns:.1}"))),
            figure(row.now),
            figure(row.baseline),
            row.change().map_or("-".to_owned(), percent),
            if row.baseline.is_some() { format!("{:.0} %", row.tolerance) } else { "-".to_owned() },
            row.verdict().word(),
        );
    }
}

fn percent(change: f64) -> String {
    // Plus zero: there is no minus zero percent.
    format!("{:+.1} %", (change * 10.0).round() / 10.0 + 0.0)
}

/// Where the instructions of a step go.
pub(crate) fn print_top(step: &str, cost: &Cost) {
    let total = cost.total();
    println!("{step}: {total:.0} instructions per step, of which in functions themselves");
    for (name, instructions) in cost.functions().into_iter().take(TOP) {
        let name: String = name.chars().take(NAME_CHARS).collect();
        println!("{instructions:>12.0}  {:>5.1} %  {name}", instructions / total * 100.0);
    }
    println!();
}
