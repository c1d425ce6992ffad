//! Evaluations for people: Markdown, and a page of its own with pictures.

use std::fmt::Write as _;

use super::{Evaluation, Mean};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee6;vertical-align:top}\
    .wrong{color:#a3312a}svg text{fill:currentColor}@media(prefers-color-scheme:dark){body{color:#e6eaf0;background:#14181f}td,th{border-color:#333c48}.wrong{color:#ff9a8f}}";

impl Evaluation {
    /// The means as a table, and what failed.
    pub fn to_markdown(&self) -> String {
        let mut text =
            format!("# {}\n\n| Score | Mean | 95 of 100 | Questions |\n|---|---|---|---|\n", cell(&self.name));
        for (name, mean) in &self.means {
            let Mean { value, low, high, count } = mean;
            let _ = writeln!(text, "| {} | {value:.3} | {low:.3} to {high:.3} | {count} |", cell(name));
        }
        if let Some(area) = self.refusal_auroc {
            let _ = writeln!(
                text,
                "\nSupport tells questions with an answer from those without with an AUROC of {area:.3}."
            );
        }
        if self.failed > 0 {
            let _ = writeln!(text, "\n{} questions failed and count as wrong:\n", self.failed);
        }
        for result in self.questions.iter().filter(|result| result.error.is_some()) {
            let _ = writeln!(text, "- {}: {}", cell(&result.id), cell(result.error.as_deref().unwrap_or_default()));
        }
        text
    }

    /// A page that needs nothing beside itself: the means with their intervals, those of `beside` as well, how often is answered at
    /// which threshold, and each question. Nothing in it runs.
    pub fn to_html(&self, beside: Option<&Evaluation>) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>{name}</title><style>{STYLE}</style><h1>{name}</h1>",
            name = escaped(&self.name)
        );
        page.push_str(&bars(self, beside));
        if self.refusal_auroc.is_some() {
            page.push_str(&curve(self));
        }
        if let Some(differences) = beside.and_then(|other| Some((other, self.compare(other).ok()?))) {
            let (other, differences) = differences;
            let _ = write!(
                page,
                "<h2>Against {}</h2><table><tr><th>Score<th>Difference<th>95 of 100<th>p",
                escaped(&other.name)
            );
            for (name, difference) in differences {
                let Mean { value, low, high, .. } = difference.mean;
                let _ = write!(
                    page,
                    "<tr><td>{}<td>{value:+.3}<td>{low:+.3} to {high:+.3}<td>{:.3}",
                    escaped(&name),
                    difference.p
                );
            }
            page.push_str("</table>");
        }
        page.push_str("<h2>Questions</h2><table><tr><th>Id<th>Question<th>Answer<th>Scores");
        for result in &self.questions {
            let scores: Vec<String> =
                result.scores.iter().map(|(name, score)| format!("{} {score:.2}", escaped(name))).collect();
            let answer = result.error.as_deref().or(result.answer.as_deref()).unwrap_or_default();
            let class = if result.error.is_some() { " class=\"wrong\"" } else { "" };
            let (id, question) = (escaped(&result.id), escaped(&result.question));
            let _ = write!(page, "<tr><td>{id}<td>{question}<td{class}>{}<td>{}", escaped(answer), scores.join("<br>"));
        }
        page.push_str("</table></html>");
        page
    }
}

/// The means as bars with their intervals, one below the other where there are two.
fn bars(own: &Evaluation, beside: Option<&Evaluation>) -> String {
    let both: Vec<(&Evaluation, &str)> =
        [Some((own, "#1f6f4a")), beside.map(|other| (other, "#7a9fd0"))].into_iter().flatten().collect();
    let row = 14 * both.len() + 10;
    let height = row * own.means.len() + 30;
    let mut svg = format!("<svg role=\"img\" aria-label=\"Means\" width=\"640\" height=\"{height}\" font-size=\"12\">");
    for (place, (evaluation, colour)) in both.iter().enumerate() {
        let left = 120 + 220 * place;
        let _ = write!(
            svg,
            "<rect x=\"{left}\" y=\"6\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"15\">{}</text>",
            left + 16,
            escaped(&evaluation.name)
        );
    }
    for (line, name) in own.means.keys().enumerate() {
        let top = 26 + row * line;
        let _ = write!(svg, "<text x=\"110\" y=\"{}\" text-anchor=\"end\">{}</text>", top + 11, escaped(name));
        for (place, (evaluation, colour)) in both.iter().enumerate() {
            let Some(mean) = evaluation.means.get(name) else { continue };
            let y = top + 14 * place;
            let at = |value: f64| 120.0 + 440.0 * value.clamp(0.0, 1.0);
            let _ = write!(
                svg,
                "<rect x=\"120\" y=\"{y}\" width=\"{:.1}\" height=\"11\" fill=\"{colour}\"/>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{mid}\" y2=\"{mid}\" stroke=\"currentColor\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{:.3}</text>",
                at(mean.value) - 120.0,
                at(mean.low),
                at(mean.high),
                at(mean.high) + 6.0,
                y + 10,
                mean.value,
                mid = y + 5
            );
        }
    }
    svg + "</svg>"
}

/// Of the questions with an answer and of those without, how many get one, for each threshold.
fn curve(evaluation: &Evaluation) -> String {
    let points = |side: fn(&(f64, f64, f64)) -> f64| -> String {
        let curve = evaluation.refusal_curve();
        let points =
            curve.iter().map(|point| format!("{:.1},{:.1}", 60.0 + 400.0 * point.0, 190.0 - 160.0 * side(point)));
        points.collect::<Vec<_>>().join(" ")
    };
    format!(
        "<h2>Answered at each threshold of support</h2><svg role=\"img\" aria-label=\"Refusal curve\" width=\"640\" height=\"220\" font-size=\"12\">\
         <line x1=\"60\" x2=\"460\" y1=\"190\" y2=\"190\" stroke=\"currentColor\"/><line x1=\"60\" x2=\"60\" y1=\"30\" y2=\"190\" stroke=\"currentColor\"/>\
         <polyline fill=\"none\" stroke=\"#1f6f4a\" stroke-width=\"2\" points=\"{}\"/><polyline fill=\"none\" stroke=\"#a3312a\" stroke-width=\"2\" points=\"{}\"/>\
         <text x=\"470\" y=\"60\">with an answer</text><text x=\"470\" y=\"170\">without one</text><text x=\"60\" y=\"210\">0</text><text x=\"450\" y=\"210\">1</text></svg>",
        points(|point| point.1),
        points(|point| point.2)
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A text that ends no cell of a table and begins nothing of Markdown's.
fn cell(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('[', "\\[")
        .replace('*', "\\*")
        .replace('`', "\\`")
}
