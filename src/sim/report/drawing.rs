//! SVG, element by element.

use std::fmt::Write;

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A point on the page.
pub(super) type Point = (f64, f64);

/// A rectangle of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// What is left inside these distances from its sides.
    pub(super) fn inside(&self, left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self {
            left: self.left + left,
            top: self.top + top,
            width: self.width - left - right,
            height: self.height - top - bottom,
        }
    }
}

/// A text of SVG that grows. Colours and sizes are classes of its style sheet.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    out: String,
}

impl Drawing {
    pub(super) const fn new() -> Self {
        Self { out: String::new() }
    }

    /// The whole file.
    pub(super) fn finish(self, width: f64, height: f64, title: &str, style: &str) -> String {
        let (width, height) = (number(width), number(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n\
             <style>{style}</style>\n<rect class=\"page\" width=\"{width}\" \
             height=\"{height}\"/>\n{}</svg>\n",
            escaped(title),
            self.out
        )
    }

    pub(super) fn line(&mut self, class: &str, from: Point, to: Point) {
        let _ = writeln!(
            self.out,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1)
        );
    }

    pub(super) fn rectangle(&mut self, class: &str, area: Area) {
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            number(area.left),
            number(area.top),
            number(area.width),
            number(area.height)
        );
    }

    pub(super) fn circle(&mut self, class: &str, at: Point, radius: f64) {
        let _ = writeln!(
            self.out,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>",
            number(at.0),
            number(at.1),
            number(radius)
        );
    }

    /// A line through points; nothing of fewer than two.
    pub(super) fn polyline(&mut self, class: &str, points: &[Point]) {
        self.points("polyline", class, points);
    }

    /// What points surround.
    pub(super) fn polygon(&mut self, class: &str, points: &[Point]) {
        self.points("polygon", class, points);
    }

    fn points(&mut self, element: &str, class: &str, points: &[Point]) {
        if points.len() < 2 {
            return;
        }
        let _ = write!(self.out, "<{element} class=\"{class}\" points=\"");
        for (at, (x, y)) in points.iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            let _ = write!(self.out, "{blank}{},{}", number(*x), number(*y));
        }
        self.out.push_str("\"/>\n");
    }

    /// A path by its own commands, whose coordinates the caller rounds with [`number`].
    pub(super) fn path(&mut self, class: &str, commands: &str) {
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"{commands}\"/>");
    }

    pub(super) fn text(&mut self, class: &str, at: Point, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
            number(at.0),
            number(at.1),
            escaped(text)
        );
    }
}

/// A coordinate: a tenth of a pixel is as fine as anybody sees.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0" } else { text }.to_owned()
}

/// Text as it stands between tags. Characters that XML forbids become U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// About how wide a text is, in a sans-serif face of that size: wide enough for those that differ.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | ' ' => 0.36,
        'f' | 't' | 'r' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' => 0.96,
        'A'..='Z' => 0.72,
        _ => 0.62,
    };
    text.chars().map(em).sum::<f64>() * size
}
