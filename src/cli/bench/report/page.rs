//! A report as one page: no script, nothing from elsewhere.

use super::Named;
use super::axis::micro;
use super::chart::COLORS;
use super::drawings;
use super::escape::Escaped;
use super::figures::{Figure, columns, figures, kinds, rows};
use crate::cli::bench::numbers::{self, float};
use crate::cli::bench::run::Run;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

const STYLE: &str = include_str!("page.css");

/// Nothing is loaded, whatever a run says: where something was not escaped, too.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub(super) fn page(runs: &[Named]) -> String {
    let title = match runs {
        [one] => one.run.asked.sentence(),
        several => format!("{} runs compared", several.len()),
    };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = Escaped(&title)
    );
    match runs {
        [one] => {
            let _ = writeln!(html, "<p>{}</p>", Escaped(about(&one.run)));
            tiles(&mut html, &one.run);
        }
        several => {
            list(&mut html, several);
            table(&mut html, several);
        }
    }
    html.push_str(&drawings::charts(runs));
    if runs.len() == 1 {
        table(&mut html, runs);
    }
    let _ = write!(
        html,
        "<footer>Written by aerys {}.</footer>\n</body>\n</html>\n",
        Escaped(env!("CARGO_PKG_VERSION"))
    );
    html
}

/// Where and when.
fn about(run: &Run) -> String {
    // Beyond any calendar, what somebody else wrote may be.
    let started = Duration::from_secs(run.started_unix_s.min(MAX_UNIX_S));
    let started = httpdate::fmt_http_date(UNIX_EPOCH + started);
    format!("{}, {started}", run.asked.url)
}

/// The end of the year 9999, in seconds since 1970.
const MAX_UNIX_S: u64 = 253_402_300_799;

fn tiles(html: &mut String, run: &Run) {
    html.push_str("<dl class=\"tiles\">\n");
    let mut tiles = figures(run);
    if let Some(latencies) = run.latencies() {
        let time = |nanos| numbers::time(float(nanos));
        let percentile = |percent| time(latencies.percentile_nanos(percent));
        let latencies = [
            ("p50", percentile(50.0)),
            ("p99", percentile(99.0)),
            ("p99.9", percentile(99.9)),
            ("maximum", time(latencies.max_nanos())),
        ];
        let latencies = latencies.map(|(name, text)| Figure {
            name,
            text,
            is_bad: false,
        });
        tiles.splice(1..1, latencies);
    }
    for Figure { name, text, is_bad } in tiles {
        let class = if is_bad { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd{class}>{}</dd></div>",
            Escaped(name),
            Escaped(micro(&text))
        );
    }
    html.push_str("</dl>\n");
}

fn list(html: &mut String, runs: &[Named]) {
    html.push_str("<ol class=\"runs\">\n");
    for (index, Named { name, run }) in runs.iter().enumerate() {
        let _ = writeln!(
            html,
            "<li><i class=\"c{}\"></i><strong>{}</strong><p>{}</p><p>{}</p></li>",
            index % COLORS,
            Escaped(name),
            Escaped(run.asked.sentence()),
            Escaped(about(run))
        );
    }
    html.push_str("</ol>\n");
}

/// All figures of all runs, or of one run its latencies: the others are in its tiles.
fn table(html: &mut String, runs: &[Named]) {
    html.push_str("<div class=\"wide\"><table>\n<thead><tr><th>latency</th>");
    let columns = columns(runs);
    for (name, _) in &columns {
        let _ = write!(html, "<th>{}</th>", Escaped(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    if let Some(kinds) = kinds(runs) {
        row(html, "of", kinds.into_iter().map(|kind| (kind, false)));
    }
    for (title, cells) in rows(&columns) {
        row(
            html,
            &title,
            cells.iter().map(|cell| (cell.as_str(), false)),
        );
    }
    if runs.len() > 1 {
        let all: Vec<_> = runs.iter().map(|one| figures(&one.run)).collect();
        for name in [
            "throughput",
            "errors",
            "memory a connection",
            "load generator's CPU",
        ] {
            let cells = all
                .iter()
                .map(|figures| figures.iter().find(|one| one.name == name));
            let cells: Vec<_> = cells.collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter();
                row(
                    html,
                    name,
                    cells.map(|cell| {
                        cell.map_or(("", false), |cell| (cell.text.as_str(), cell.is_bad))
                    }),
                );
            }
        }
    }
    html.push_str("</tbody></table></div>\n");
}

fn row<'a>(html: &mut String, title: &str, cells: impl Iterator<Item = (&'a str, bool)>) {
    let _ = write!(html, "<tr><th>{}</th>", Escaped(title));
    for (cell, is_bad) in cells {
        let class = if is_bad { " class=\"bad\"" } else { "" };
        let _ = write!(html, "<td{class}>{}</td>", Escaped(micro(cell)));
    }
    html.push_str("</tr>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::run::tests::echo;
    use crate::cli::bench::run::{ErrorKind, Memory};

    fn named(name: &str, run: Run) -> Named {
        Named {
            name: name.to_owned(),
            run,
        }
    }

    /// A run in which every text is an attack, and every figure is there.
    fn hostile() -> Named {
        let mut run = echo();
        run.asked.url = "ws://a/\"><img src=x onerror=alert(1)>&amp;'</style>".to_owned();
        run.started_unix_s = u64::MAX;
        run.measured.latencies[0].kind = "</title><script>alert(2)</script>".to_owned();
        run.measured.counts.errors.add(ErrorKind::Closed);
        run.measured.intervals.list[3].errors = 1;
        run.measured.memory = Some(Memory {
            before_bytes: 1,
            after_bytes: 2,
            connections: 1,
        });
        named("<b onclick='x'>&\u{202e}\0", run)
    }

    /// The names of elements that are open at the end; panics where one is closed that is not open.
    fn open_elements(html: &str) -> Vec<&str> {
        let mut open = Vec::new();
        let body = html.strip_prefix("<!DOCTYPE html>").expect("a doctype");
        for tag in body.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains('>'), "a tag that ends twice: {tag}");
            let name = tag.split([' ', '/']).find(|name| !name.is_empty());
            let name = name.expect("a tag has a name");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{tag}"
            );
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open
    }

    #[test]
    fn every_element_ends_and_no_text_makes_one() {
        for runs in [
            vec![hostile()],
            vec![named("a", echo()), hostile(), named("c", echo())],
        ] {
            let html = page(&runs);
            assert_eq!(open_elements(&html), Vec::<&str>::new());
            for forbidden in ["<script", "<img", "<b ", "onclick='", "\u{202e}", "\0"] {
                assert!(!html.contains(forbidden), "{forbidden:?}");
            }
            let name = "&lt;b onclick=&#39;x&#39;&gt;&amp;\\u{202e}\\0";
            assert_eq!(html.contains(name), runs.len() > 1);
            assert!(html.contains("onerror=alert(1)&gt;&amp;amp;&#39;&lt;/style&gt;"));
            // One style, and it ends where ours does.
            assert_eq!(html.matches("</style>").count(), 1);
        }
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        let html = page(&[named("a", echo()), named("b", echo())]);
        for forbidden in [
            "src=", "href=", "url(", "@import", "http://", "https://", "//cdn",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    }

    #[test]
    fn one_run_has_its_figures_and_several_have_a_column_each() {
        let html = page(&[hostile()]);
        for figure in [
            "<dt>throughput</dt><dd>1,000/s</dd>",
            "<dt>p50</dt><dd>101 \u{b5}s</dd>",
            "<dt>maximum</dt><dd>1.00 ms</dd>",
            "<dt>errors</dt><dd class=\"bad\">1</dd>",
            "<dt>memory a connection</dt><dd>1 B</dd>",
        ] {
            assert!(html.contains(figure), "{figure}");
        }
        let html = page(&[named("first", echo()), named("second", echo())]);
        assert!(html.contains("<th>first</th><th>second</th>"));
        assert!(html.contains("<tr><th>throughput</th><td>1,000/s</td><td>1,000/s</td></tr>"));
        assert!(!html.contains("memory a connection"), "nobody measured it");
        assert!(!html.contains("<tr><th>of</th>"), "they are of one kind");
        let mut other = echo();
        other.measured.latencies[0].kind = "handshake".to_owned();
        let html = page(&[named("first", echo()), named("second", other)]);
        assert!(html.contains("<tr><th>of</th><td>round trip</td><td>handshake</td></tr>"));
    }

    #[test]
    fn runs_are_drawn_over_each_other() {
        let lines =
            |html: &str, class: &str| html.matches(&format!("class=\"line {class}")).count();
        let one = page(&[named("a", echo())]);
        // Percentiles, distribution, p50, throughput; maximum; p99.
        assert_eq!(
            [lines(&one, "c0"), lines(&one, "c1"), lines(&one, "c2")],
            [4, 1, 1]
        );
        let two = page(&[named("a", echo()), named("b", echo())]);
        assert_eq!(
            [lines(&two, "c0"), lines(&two, "c1"), lines(&two, "c2")],
            [5, 5, 0]
        );
        // Each interval of a single run says what it was.
        assert_eq!(
            (
                one.matches("class=\"hint\"").count(),
                two.matches("class=\"hint\"").count()
            ),
            (40, 0)
        );
        assert!(one.contains("<title>0.10 s to 0.20 s: 100 messages, p50 "));
    }

    #[test]
    fn a_rest_of_an_interval_has_no_rate() {
        let mut run = echo();
        run.measured.elapsed_s = 2.0001;
        let last = run.measured.intervals.list[19];
        run.measured.intervals.list.push(last);
        let html = page(&[named("a", run)]);
        // A hundred messages in 0.1 ms.
        assert!(
            html.contains(">1,000/s<") && !html.contains("00,000/s"),
            "{html}"
        );
    }

    #[test]
    fn an_interval_between_two_in_which_nothing_came_is_a_dot() {
        let dots = |run: &Run| page(&[named("a", run.clone())]).matches("h0\"/>").count();
        let mut run = echo();
        assert_eq!(dots(&run), 0);
        run.measured.intervals.list.truncate(1);
        // Maximum, p99 and p50.
        assert_eq!(dots(&run), 3);
        // Between others, it is one of a path.
        let mut run = echo();
        for index in [4, 6] {
            run.measured.intervals.list[index].messages = 0;
        }
        let html = page(&[named("a", run)]);
        assert_eq!(html.matches("h0M").count(), 3, "{html}");
    }

    #[test]
    fn a_run_in_which_nothing_happened_has_a_page_too() {
        let mut run = echo();
        run.measured.latencies.clear();
        run.measured.intervals.list.clear();
        run.measured.elapsed_s = 0.0;
        let html = page(&[named("a", run)]);
        assert_eq!(open_elements(&html), Vec::<&str>::new());
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}
