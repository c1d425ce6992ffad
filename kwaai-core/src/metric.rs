//! Measurements of a running node, named as OpenTelemetry's semantic conventions name them, and their text for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What the value of a [`Measurement`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instrument {
    /// It only grows.
    Counter,
    /// What it is now.
    Gauge,
    /// Many values, counted by their size.
    Histogram,
}

impl Instrument {
    /// The fixed name: `counter`, `gauge` or `histogram`.
    pub fn as_str(self) -> &'static str {
        match self {
            Instrument::Counter => "counter",
            Instrument::Gauge => "gauge",
            Instrument::Histogram => "histogram",
        }
    }
}

/// One measurement: a name with attributes, and the value.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The name, such as `rpc.server.call.duration`.
    pub name: &'static str,
    /// What the value means.
    pub instrument: Instrument,
    /// The unit in UCUM: `s`, `ms`, `By`, or what is counted, in braces.
    pub unit: &'static str,
    /// What is measured, in a sentence.
    pub description: &'static str,
    /// What this is the measurement of.
    pub attributes: BTreeMap<&'static str, String>,
    /// The value; the sum of the values in a histogram.
    pub value: f64,
    /// How many values a histogram has; `None` for the other instruments.
    pub count: Option<u64>,
    /// Of a histogram, how many values are at most so large, from the smallest bound to the largest. Each counts those before
    /// it as well; those beyond the last are in `count` alone.
    pub buckets: Vec<Bucket>,
}

/// How many values of a histogram are at most so large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The bound, in the unit of the metric.
    pub at_most: f64,
    /// How many values.
    pub count: u64,
}

impl Measurement {
    /// A measurement that is one number.
    pub fn number(
        instrument: Instrument,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        value: f64,
    ) -> Measurement {
        let (attributes, count, buckets) = (BTreeMap::new(), None, Vec::new());
        Measurement { name, instrument, unit, description, attributes, value, count, buckets }
    }

    /// The measurement with one more attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Measurement {
        self.attributes.insert(name, value.into());
        self
    }
}

/// The text that a Prometheus server reads, version 0.0.4: what [OpenTelemetry's mapping] makes of names and units.
///
/// [OpenTelemetry's mapping]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
pub fn prometheus(metrics: &[Measurement]) -> String {
    let mut families: BTreeMap<String, Vec<&Measurement>> = BTreeMap::new();
    for metric in metrics {
        families.entry(prometheus_name(metric)).or_default().push(metric);
    }
    let mut text = String::new();
    for (name, metrics) in families {
        let first = metrics[0];
        // Writing into a text does not fail.
        let _ = writeln!(text, "# HELP {name} {}", escaped(first.description, false));
        let _ = writeln!(text, "# TYPE {name} {}", first.instrument.as_str());
        for metric in metrics {
            let labels = |bound: Option<&str>| {
                let own = metric.attributes.iter().map(|(key, value)| (sound(key), value.as_str()));
                let all = own.chain(bound.map(|bound| ("le".into(), bound)));
                let pairs: Vec<_> = all.map(|(key, value)| format!("{key}=\"{}\"", escaped(value, true))).collect();
                if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
            };
            let Some(count) = metric.count else {
                let _ = writeln!(text, "{name}{} {}", labels(None), metric.value);
                continue;
            };
            for bucket in &metric.buckets {
                let _ = writeln!(text, "{name}_bucket{} {}", labels(Some(&bucket.at_most.to_string())), bucket.count);
            }
            let _ = writeln!(text, "{name}_bucket{} {count}", labels(Some("+Inf")));
            let _ = writeln!(text, "{name}_sum{} {}", labels(None), metric.value);
            let _ = writeln!(text, "{name}_count{} {count}", labels(None));
        }
    }
    text
}

/// `rpc.server.call.duration` in `s` becomes `rpc_server_call_duration_seconds`; a counter ends in `_total`.
fn prometheus_name(metric: &Measurement) -> String {
    let unit = match metric.unit {
        "s" => "_seconds",
        "ms" => "_milliseconds",
        "By" => "_bytes",
        _ => "",
    };
    let total = if metric.instrument == Instrument::Counter { "_total" } else { "" };
    format!("{}{unit}{total}", sound(metric.name))
}

fn sound(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn escaped(text: &str, quoted: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quoted { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prometheus_reads_names_units_and_labels_in_its_own_spelling() {
        let sent = |direction, value| {
            Measurement::number(Instrument::Counter, "kwaainet.network.io", "By", "Bytes of streams.", value)
                .with("network.io.direction", direction)
        };
        let durations = Measurement {
            count: Some(3),
            buckets: vec![Bucket { at_most: 2.5, count: 1 }, Bucket { at_most: 10.0, count: 2 }],
            ..Measurement::number(Instrument::Histogram, "rpc.server.call.duration", "s", "Calls.", 27.5)
        };
        let peers = Measurement::number(Instrument::Gauge, "kwaainet.peers", "{peer}", "Who\nis \\ there.", 4.0);
        let text = prometheus(&[sent("receive", 5.0), peers.with("x", "a\"b\\c\n"), durations, sent("transmit", 1e12)]);
        assert_eq!(
            text,
            r#"# HELP kwaainet_network_io_bytes_total Bytes of streams.
# TYPE kwaainet_network_io_bytes_total counter
kwaainet_network_io_bytes_total{network_io_direction="receive"} 5
kwaainet_network_io_bytes_total{network_io_direction="transmit"} 1000000000000
# HELP kwaainet_peers Who\nis \\ there.
# TYPE kwaainet_peers gauge
kwaainet_peers{x="a\"b\\c\n"} 4
# HELP rpc_server_call_duration_seconds Calls.
# TYPE rpc_server_call_duration_seconds histogram
rpc_server_call_duration_seconds_bucket{le="2.5"} 1
rpc_server_call_duration_seconds_bucket{le="10"} 2
rpc_server_call_duration_seconds_bucket{le="+Inf"} 3
rpc_server_call_duration_seconds_sum 27.5
rpc_server_call_duration_seconds_count 3
"#
        );
    }

    proptest! {
        #[test]
        fn fuzz_no_attribute_breaks_out_of_its_line(value in any::<String>()) {
            let metric = Measurement::number(Instrument::Gauge, "a", "{x}", "b", 1.0).with("c", value);
            let text = prometheus(&[metric]);
            prop_assert_eq!(text.matches('\n').count(), 3);
            let quotes = text.replace("\\\\", "").replace("\\\"", "").matches('"').count();
            prop_assert_eq!(quotes, 2);
        }
    }
}
