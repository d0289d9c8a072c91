//! What monitoring reads: text in the format of Prometheus.

use std::fmt::{Display, Write};

use crate::node::Published;
use crate::reactor::Counters;

use super::methods::View;

/// Metrics as text.
struct Page(String);

impl Page {
    fn add(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        let page = &mut self.0;
        write!(
            page,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        )
        .expect("writing to a string can't fail");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.add(name, "gauge", help, value);
    }

    fn total(&mut self, name: &str, help: &str, value: u64) {
        self.add(name, "counter", help, value);
    }
}

/// The metrics now.
pub(super) fn text(view: &View<'_>) -> String {
    let mut page = Page(String::new());
    if let Some(published) = view.published {
        chain(&mut page, published);
    }
    traffic(&mut page, view.counters);
    let uptime = view.now.since(view.facts.started).as_millis() / 1_000;
    page.gauge("keel_uptime_seconds", "Seconds since the start.", uptime);
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory in use.", bytes);
    }
    page.0
}

fn chain(page: &mut Page, published: &Published) {
    let header = &published.header;
    page.gauge("keel_chain_height", "Height of the tip.", header.height.0);
    page.gauge(
        "keel_header_height",
        "Height of the best header.",
        published.best_header.0,
    );
    page.gauge(
        "keel_checkpoint_height",
        "Height of the newest checkpoint, from which a start goes on.",
        published.checkpoint.0,
    );
    page.total(
        "keel_executed_blocks_total",
        "Blocks executed since the start.",
        published.executed,
    );
    let time = header.time.0 / 1_000;
    page.gauge(
        "keel_best_tip_time_seconds",
        "Time of the tip's block since 1970.",
        time,
    );
    page.gauge("keel_peers", "Peers that are ready.", published.peers);
    page.gauge(
        "keel_mempool_transactions",
        "Transactions that wait.",
        published.mempool_count,
    );
    page.gauge(
        "keel_mempool_bytes",
        "Bytes of the transactions that wait.",
        published.mempool_bytes,
    );
    page.gauge(
        "keel_ready",
        "1 when the log is read.",
        u8::from(published.ready),
    );
}

fn traffic(page: &mut Page, counters: &Counters) {
    page.total(
        "keel_loop_turns_total",
        "Turns of the event loop.",
        counters.turns,
    );
    let seconds = counters.turn_micros_max as f64 / 1e6;
    page.gauge(
        "keel_loop_turn_max_seconds",
        "Longest turn of the event loop.",
        seconds,
    );
    page.total(
        "keel_node_inputs_total",
        "Inputs of the node.",
        counters.inputs,
    );
    page.total("keel_jobs_total", "Jobs given to workers.", counters.jobs);
    page.total(
        "keel_reorganisations_total",
        "Changes of the tip that left blocks behind.",
        counters.reorganisations,
    );
    page.total(
        "keel_disconnected_blocks_total",
        "Blocks that left the best chain.",
        counters.disconnected,
    );
    page.total(
        "keel_p2p_accepted_total",
        "Connections accepted from peers.",
        counters.accepted,
    );
    page.total(
        "keel_p2p_dialled_total",
        "Connections tried to peers.",
        counters.dialled,
    );
    page.total(
        "keel_p2p_faults_total",
        "Connections ended for a fault.",
        counters.faults,
    );
    page.total(
        "keel_p2p_received_bytes_total",
        "Bytes from peers.",
        counters.peer_bytes_in,
    );
    page.total(
        "keel_p2p_sent_bytes_total",
        "Bytes to peers.",
        counters.peer_bytes_out,
    );
    page.total(
        "keel_http_requests_total",
        "HTTP requests.",
        counters.http_requests,
    );
    page.gauge(
        "keel_http_connections",
        "HTTP connections.",
        counters.http_connections,
    );
}

/// The memory that the process has in use, where the system says so in a file.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
