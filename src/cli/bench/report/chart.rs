//! One drawing: lines in an SVG that is stretched to the room there is, and around it labels as text,
//! which keep their size on a phone.

use super::axis::Axis;
use super::escape::Escaped;
use std::fmt::Write;

/// How many units an SVG is wide and high: a tenth of a pixel on most screens.
const UNITS: f64 = 10_000.0;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What the axes are, in a sentence.
    pub(super) caption: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// What is told of stretches of the x axis when they are pointed at.
    pub(super) hints: Vec<Hint>,
}

/// A line, and its entry in the legend.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// The how many-th colour.
    pub(super) color: usize,
    pub(super) shape: Shape,
    /// In the units of the axes. `None` is a gap.
    pub(super) points: Vec<Option<(f64, f64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Solid,
    Dashed,
    /// From one point to the next, and the area below it.
    Filled,
    /// Each point by itself, on the lower edge.
    Marks,
}

#[derive(Debug)]
pub(super) struct Hint {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) text: String,
}

/// How many colours there are.
pub(super) const COLORS: usize = 6;

impl Chart<'_> {
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<figure>\n<h2>{}</h2>\n<p>{}</p>\n",
            Escaped(self.title),
            Escaped(self.caption)
        );
        self.legend(&mut html);
        let _ = writeln!(
            html,
            "<div class=\"plot\"><svg viewBox=\"0 0 {UNITS} {UNITS}\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{}\">",
            Escaped(self.title)
        );
        self.grid(&mut html);
        for line in &self.lines {
            self.line(&mut html, line);
        }
        for hint in &self.hints {
            let (from, to) = (
                self.x.place(hint.from) * UNITS,
                self.x.place(hint.to) * UNITS,
            );
            let _ = writeln!(
                html,
                "<rect class=\"hint\" x=\"{from:.0}\" y=\"0\" width=\"{:.0}\" height=\"{UNITS}\">\
                 <title>{}</title></rect>",
                to - from,
                Escaped(&hint.text)
            );
        }
        html.push_str("</svg>\n");
        self.labels(&mut html);
        html.push_str("</div>\n</figure>\n");
        html
    }

    fn legend(&self, html: &mut String) {
        html.push_str("<ul class=\"legend\">\n");
        for line in &self.lines {
            let class = match line.shape {
                Shape::Solid | Shape::Filled => format!("c{}", line.color % COLORS),
                Shape::Dashed => format!("c{} dashed", line.color % COLORS),
                Shape::Marks => "bad".to_owned(),
            };
            let name = Escaped(&line.name);
            let _ = writeln!(html, "<li><i class=\"{class}\"></i>{name}</li>");
        }
        html.push_str("</ul>\n");
    }

    fn grid(&self, html: &mut String) {
        html.push_str("<path class=\"grid\" d=\"");
        for tick in &self.x.ticks {
            let _ = write!(html, "M{:.0} 0V{UNITS}", tick.place * UNITS);
        }
        for tick in &self.y.ticks {
            let _ = write!(html, "M0 {:.0}H{UNITS}", (1.0 - tick.place) * UNITS);
        }
        html.push_str("\"/>\n");
    }

    fn line(&self, html: &mut String, line: &Line) {
        let mut path = String::new();
        let mut is_drawing = false;
        // Where a filled line began.
        let mut begin = 0.0;
        let mut last: Option<(f64, f64)> = None;
        let close =
            |path: &mut String, begin: f64, last: Option<(f64, f64)>| match (line.shape, last) {
                (Shape::Filled, Some((x, _))) => {
                    let _ = write!(path, "L{x:.0} {UNITS}L{begin:.0} {UNITS}Z");
                }
                // A point between two gaps is a dot.
                (_, Some(_)) if path.rfind('M') > path.rfind('L') => path.push_str("h0"),
                _ => {}
            };
        for point in &line.points {
            let Some((x, y)) = point else {
                close(&mut path, begin, last.take());
                is_drawing = false;
                continue;
            };
            let (x, y) = (self.x.place(*x) * UNITS, (1.0 - self.y.place(*y)) * UNITS);
            if line.shape == Shape::Marks {
                // A dash of no length has round ends: a dot.
                let _ = write!(path, "M{x:.0} {UNITS}h0");
                continue;
            }
            // What is closer than a hundredth of the width can be seen only where it goes up or down.
            let is_near = |(last_x, last_y): (f64, f64)| {
                (x - last_x).abs() < UNITS / 1000.0 && (y - last_y).abs() < UNITS / 200.0
            };
            if is_drawing && last.is_some_and(is_near) {
                continue;
            }
            let command = if is_drawing { 'L' } else { 'M' };
            if !is_drawing {
                begin = x;
            }
            let _ = write!(path, "{command}{x:.0} {y:.0}");
            is_drawing = true;
            last = Some((x, y));
        }
        close(&mut path, begin, last);
        let shape = match line.shape {
            Shape::Solid => "",
            Shape::Dashed => " dashed",
            Shape::Filled => " filled",
            Shape::Marks => " marks",
        };
        let _ = writeln!(
            html,
            "<path class=\"line c{}{shape}\" d=\"{path}\"/>",
            line.color % COLORS
        );
    }

    fn labels(&self, html: &mut String) {
        for (class, ticks) in [("x", &self.x.ticks), ("y", &self.y.ticks)] {
            let property = if class == "x" { "left" } else { "bottom" };
            for tick in ticks {
                let minor = if tick.is_minor { " minor" } else { "" };
                let _ = writeln!(
                    html,
                    "<span class=\"{class}{minor}\" style=\"{property}:{:.2}%\">{}</span>",
                    tick.place * 100.0,
                    Escaped(&tick.label)
                );
            }
        }
    }
}
