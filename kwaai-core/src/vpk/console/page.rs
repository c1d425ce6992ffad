//! The page as one text: no script, no other file, and a style whose hash the page's policy names.

use std::fmt::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::View;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}\
caption{text-align:left;font-weight:600;padding:.5rem 0}\
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid GrayText}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
dt{font-weight:600}\
meter{width:100%;height:1rem}\
a:focus-visible{outline:3px solid Highlight}";

static HASH: LazyLock<String> = LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE))));

/// The style, as a content security policy names it.
pub(super) fn style_hash() -> &'static str {
    &HASH
}

pub(super) fn render(view: &View) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Vectors kept for others</title><style>{STYLE}</style></head>\
         <body><main><h1>Vectors kept for others</h1>"
    );
    // Writing into a text cannot fail.
    let _ = match view.hosting {
        true => write_host(&mut page, view),
        false => write!(page, "<p role=\"status\">This node does not host. What it kept before stays on its disk.</p>"),
    };
    let _ = write!(
        page,
        "<p><a href=\"/\">Look again</a> · <a href=\"/api/host.json\">The same as JSON</a></p></main></body></html>"
    );
    page
}

fn write_host(page: &mut String, view: &View) -> std::fmt::Result {
    let (used, capacity) = (view.used_bytes, view.capacity_bytes);
    let health = if used < capacity { "It takes more." } else { "It is full." };
    write!(
        page,
        "<p role=\"status\">This node hosts. {health}</p>\
         <dl><dt id=\"room\">Room on the disk</dt><dd>{} of {}<br>\
         <meter aria-labelledby=\"room\" min=\"0\" max=\"{capacity}\" value=\"{used}\"></meter></dd>\
         <dt>At most for one tenant</dt><dd>{}</dd></dl>\
         <table><caption>{} tenants, by tier</caption><thead><tr><th scope=\"col\">Tenant</th><th scope=\"col\">Tier</th>\
         <th scope=\"col\" class=\"n\">Kept</th><th scope=\"col\" class=\"n\">Of its quota</th>\
         <th scope=\"col\" class=\"n\">Collections</th></tr></thead><tbody>",
        bytes(used),
        bytes(capacity),
        bytes(view.tenant_bytes),
        view.tenants.len(),
    )?;
    for tenant in &view.tenants {
        let share = tenant.bytes as f64 * 100.0 / view.tenant_bytes.max(1) as f64;
        write!(
            page,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{share:.1} %</td>\
             <td class=\"n\">{}</td></tr>",
            escaped(&tenant.id),
            escaped(&tenant.tier),
            bytes(tenant.bytes),
            tenant.collections,
        )?;
    }
    write!(page, "</tbody></table>")
}

fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", number as f64 / 1024.0),
        _ => format!("{:.1} MiB", number as f64 / 1_048_576.0),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::TenantView;
    use super::*;

    #[test]
    fn texts_are_escaped_and_nothing_is_loaded_or_run() {
        let tenant = TenantView {
            id: "<script>alert('x')</script>\u{1b}".into(),
            tier: "\"&known".into(),
            bytes: 1536,
            collections: 2,
        };
        let view =
            View { hosting: true, used_bytes: 1536, capacity_bytes: 4096, tenant_bytes: 2048, tenants: vec![tenant] };
        let page = render(&view);
        assert!(
            !page.contains("<script")
                && !page.contains("src=")
                && !page.contains("http://")
                && !page.contains("style=")
        );
        assert!(
            page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\u{fffd}")
                && page.contains("&quot;&amp;known")
        );
        assert!(page.contains("1.5 KiB") && page.contains("75.0 %"));
        assert!(page.contains("<html lang=\"en\">") && page.contains("<caption>1 tenants, by tier</caption>"));
        assert!(render(&View { hosting: false, ..view }).contains("does not host"));
    }
}
