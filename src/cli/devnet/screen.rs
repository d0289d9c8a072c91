//! What people see of a devnet: a table that is redrawn on a terminal, a line a second elsewhere.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::base::Span;
use crate::types::{AccountId, Amount, BlockId, Height, encode_address};
use crate::wallet::format_amount;

use super::load::{Counts, Paid};

/// What a node does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Its process runs; it does not answer yet.
    Starting,
    /// It answers.
    Ready,
    /// Its process is stopped by `--chaos pause`.
    Paused,
}

/// One node's line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) address: IpAddr,
    pub(super) condition: Condition,
    pub(super) height: Height,
    pub(super) tip: BlockId,
    pub(super) peers: u64,
    pub(super) waiting: u64,
    /// Payments that it accepted in each of the last seconds, on average.
    pub(super) per_second: f64,
    pub(super) restarts: u32,
}

/// A devnet at one moment.
pub(super) struct View<'a> {
    pub(super) title: &'a str,
    pub(super) hrp: &'a str,
    pub(super) elapsed: Span,
    pub(super) rows: &'a [Row],
    pub(super) counts: Counts,
    pub(super) median: Option<Span>,
    pub(super) first: Option<&'a Paid>,
    pub(super) latest: Option<&'a Paid>,
    pub(super) notice: &'a str,
}

/// Where a terminal's lines end.
const COLUMNS: usize = 80;
/// Digits after the point of a dev chain's amounts.
const DECIMALS: u8 = 8;

/// The table of a terminal.
pub(super) fn table(view: &View<'_>) -> Vec<String> {
    let seconds = view.elapsed.as_millis() / 1_000;
    let clock = format!("{}:{:02}", seconds / 60, seconds % 60);
    let room = COLUMNS - 1 - clock.len();
    let mut lines = vec![
        format!("{:room$}{clock}", view.title),
        String::new(),
        format!(
            "{:>4}  {:<12} {:>8}  {:<14} {:>5}  {:>7}  {:>6}  {:>8}",
            "node", "address", "height", "tip", "peers", "waiting", "tx/s", "restarts"
        ),
    ];
    for (number, row) in view.rows.iter().enumerate() {
        let tip = match row.condition {
            Condition::Starting => "starting".to_owned(),
            Condition::Paused => "paused".to_owned(),
            Condition::Ready => short(row.tip.to_string(), 14),
        };
        lines.push(format!(
            "{:>4}  {:<12} {:>8}  {:<14} {:>5}  {:>7}  {:>6.1}  {:>8}",
            number + 1,
            row.address.to_string(),
            row.height.0,
            tip,
            row.peers,
            row.waiting,
            row.per_second,
            row.restarts
        ));
    }
    lines.push(String::new());
    lines.push(payments(view));
    for (name, paid) in [("first", view.first), ("latest", view.latest)] {
        lines.push(paid.map_or_else(String::new, |paid| {
            format!("{name:<9} {}", payment(view.hrp, paid))
        }));
    }
    lines.push(view.notice.to_owned());
    for line in &mut lines {
        *line = short(std::mem::take(line), COLUMNS - 1);
    }
    lines
}

fn payments(view: &View<'_>) -> String {
    let counts = view.counts;
    let mut line = format!(
        "payments  {} made, {} accepted, {} in blocks, {} refused",
        counts.made, counts.accepted, counts.included, counts.refused
    );
    if let Some(median) = view.median {
        // Writing to a string does not fail.
        let _ = write!(line, "; median {} s", seconds(median));
    }
    line
}

/// One payment in words.
pub(super) fn payment(hrp: &str, paid: &Paid) -> String {
    let address = |account: &AccountId| short(encode_address(hrp, account), 14);
    format!(
        "{} from {} to {}, block {} after {} s",
        format_amount(Amount(paid.amount), DECIMALS),
        address(&paid.from),
        address(&paid.to),
        paid.height.0,
        seconds(paid.included.since(paid.made))
    )
}

/// The line of one second where nothing can be redrawn.
pub(super) fn line(view: &View<'_>) -> String {
    let mut line = format!("{:>4} s ", view.elapsed.as_millis() / 1_000);
    for row in view.rows {
        let _ = match row.condition {
            Condition::Starting => write!(line, " starting"),
            Condition::Paused => write!(line, " paused"),
            Condition::Ready => write!(line, " {}:{:.8}", row.height.0, row.tip.to_string()),
        };
    }
    let counts = view.counts;
    let _ = write!(
        line,
        "  {} accepted, {} in blocks, {} refused",
        counts.accepted, counts.included, counts.refused
    );
    line
}

/// The beginning of a text that is too long, with a mark.
fn short(text: String, width: usize) -> String {
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width - 1).collect();
    kept + "…"
}

/// Seconds with one decimal.
pub(super) fn seconds(span: Span) -> String {
    format!("{:.1}", span.as_micros() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;

    fn row(condition: Condition) -> Row {
        Row {
            address: IpAddr::from([127, 73, 255, 1]),
            condition,
            height: Height(12_345_678),
            tip: BlockId([0xab; 32]),
            peers: 63,
            waiting: 999_999,
            per_second: 1_234.5,
            restarts: 12_345,
        }
    }

    fn paid() -> Paid {
        Paid {
            from: AccountId([1; 32]),
            to: AccountId([2; 32]),
            amount: 420_000_000,
            height: Height(123_456),
            made: Time::from_millis(1_000),
            included: Time::from_millis(2_940),
        }
    }

    fn with_view<T>(rows: &[Row], show: impl FnOnce(&View<'_>) -> T) -> T {
        let paid = paid();
        show(&View {
            title: "keel devnet: 64 nodes, 5000 payments/s, a block every 2 s",
            hrp: "dkeel",
            elapsed: Span::from_millis(83_999),
            rows,
            counts: Counts {
                made: 7,
                accepted: 6,
                included: 5,
                refused: 1,
                ..Counts::default()
            },
            median: Some(Span::from_millis(1_850)),
            first: Some(&paid),
            latest: None,
            notice: "Ctrl-C stops it",
        })
    }

    #[test]
    fn every_line_fits_a_terminal_and_columns_stand_below_each_other() {
        let rows = [
            row(Condition::Ready),
            row(Condition::Starting),
            row(Condition::Paused),
        ];
        let lines = with_view(&rows, table);
        assert!(
            lines.iter().all(|line| line.chars().count() < COLUMNS),
            "{lines:#?}"
        );
        assert!(lines[0].ends_with("1:23"));
        assert_eq!(
            lines[3],
            "   1  127.73.255.1 12345678  ababababababa…    63   999999  1234.5     12345"
        );
        for word in [
            "node", "address", "height", "peers", "waiting", "tx/s", "restarts",
        ] {
            assert!(lines[2].contains(word));
        }
        let width = lines[2].chars().count();
        assert!(lines[3..6].iter().all(|line| line.chars().count() == width));
    }

    #[test]
    fn the_table_says_what_became_of_payments() {
        let lines = with_view(&[row(Condition::Ready)], table);
        assert_eq!(
            lines[5],
            "payments  7 made, 6 accepted, 5 in blocks, 1 refused; median 1.9 s"
        );
        assert_eq!(
            lines[6],
            "first     4.2 from dkeel1qyqszqg… to dkeel1qgpqyqs…, block 123456 after 1.9 s"
        );
    }

    #[test]
    fn the_plain_line_names_heights_and_tips() {
        let line = with_view(&[row(Condition::Ready), row(Condition::Paused)], line);
        assert_eq!(
            line,
            "  83 s  12345678:abababab paused  6 accepted, 5 in blocks, 1 refused"
        );
    }
}
