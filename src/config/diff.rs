//! What is different between two texts, for people.

/// The changes from `old` to `new`, line by line with three lines around each, as `diff -u` shows them but for the files'
/// names; empty when there is none.
pub fn diff(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let steps = steps(&a, &b);
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = (at..steps.len()).find(|&i| steps[i].0 != Side::Both) {
        // A gap of unchanged lines that would all be shown does not end a hunk.
        let mut last = first;
        while let Some(next) = (last + 1..steps.len()).find(|&i| steps[i].0 != Side::Both) {
            if next - last > 2 * AROUND + 1 {
                break;
            }
            last = next;
        }
        let (from, to) = (first.saturating_sub(AROUND).max(at), (last + 1 + AROUND).min(steps.len()));
        let count = |range: &[(Side, &str)], not: Side| range.iter().filter(|(side, _)| *side != not).count();
        let range = |not: Side| {
            let (before, within) = (count(&steps[..from], not), count(&steps[from..to], not));
            format!("{},{within}", if within == 0 { before } else { before + 1 })
        };
        out += &format!("@@ -{} +{} @@\n", range(Side::New), range(Side::Old));
        for (side, line) in &steps[from..to] {
            out.push(match side {
                Side::Both => ' ',
                Side::Old => '-',
                Side::New => '+',
            });
            out += line;
            out.push('\n');
        }
        at = to;
    }
    out
}

/// Where a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    Old,
    New,
}

const AROUND: usize = 3;
/// Cells of the table that is searched for the longest common lines. Of texts that differ more, all between the first and
/// the last difference is shown as replaced.
const MAX_CELLS: usize = 4_000_000;

fn steps<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(Side, &'a str)> {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a_rest, b_rest) = (&a[head..], &b[head..]);
    let tail = a_rest.iter().rev().zip(b_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a_mid, b_mid) = (&a_rest[..a_rest.len() - tail], &b_rest[..b_rest.len() - tail]);
    let both = |lines: &[&'a str]| lines.iter().map(|line| (Side::Both, *line)).collect::<Vec<_>>();
    let mut steps = both(&a[..head]);
    steps.extend(middle(a_mid, b_mid));
    steps.extend(both(&a_rest[a_rest.len() - tail..]));
    steps
}

fn middle<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<(Side, &'a str)> {
    let mut steps = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    if a.len().saturating_mul(b.len()) <= MAX_CELLS {
        // How many lines are common from here on.
        let width = b.len() + 1;
        let mut common = vec![0u32; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                common[i * width + j] = match a[i] == b[j] {
                    true => common[(i + 1) * width + j + 1] + 1,
                    false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
                };
            }
        }
        while i < a.len() && j < b.len() {
            if a[i] == b[j] {
                steps.push((Side::Both, a[i]));
                (i, j) = (i + 1, j + 1);
            } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
                steps.push((Side::Old, a[i]));
                i += 1;
            } else {
                steps.push((Side::New, b[j]));
                j += 1;
            }
        }
    }
    steps.extend(a[i..].iter().map(|line| (Side::Old, *line)));
    steps.extend(b[j..].iter().map(|line| (Side::New, *line)));
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_are_shown_with_the_lines_around_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\n";
        let cases = [
            (old.to_owned(), ""),
            (old.replace("b\n", "B\n"), "@@ -1,5 +1,5 @@\n a\n-b\n+B\n c\n d\n e\n"),
            (format!("{old}n\n"), "@@ -11,3 +11,4 @@\n k\n l\n m\n+n\n"),
            (
                old.replace("a\n", "").replace("m\n", ""),
                "@@ -1,4 +1,3 @@\n-a\n b\n c\n d\n@@ -10,4 +9,3 @@\n j\n k\n l\n-m\n",
            ),
            (String::new(), "@@ -1,13 +0,0 @@\n-a\n-b\n-c\n-d\n-e\n-f\n-g\n-h\n-i\n-j\n-k\n-l\n-m\n"),
        ];
        for (new, expected) in cases {
            assert_eq!(diff(old, &new), expected, "{new}");
        }
    }

    proptest! {
        #[test]
        fn a_diff_turns_one_text_into_the_other(
            old in proptest::collection::vec("[a-c]{0,1}", 0..40),
            new in proptest::collection::vec("[a-c]{0,1}", 0..40),
        ) {
            let (a, b): (Vec<&str>, Vec<&str>) =
                (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let steps = steps(&a, &b);
            let side = |not| steps.iter().filter(|(side, _)| *side != not).map(|(_, line)| *line).collect::<Vec<_>>();
            prop_assert_eq!(side(Side::New), a);
            prop_assert_eq!(side(Side::Old), b);
        }
    }
}
