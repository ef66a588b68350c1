//! Figures of the whole product, measured from outside: `./bench NAME [SIZE]`.
//!
//! Every figure runs the real program (the release build where there is one) in a data folder of its
//! own under `target/bench`, which is gone afterwards, and writes a table and `target/bench/NAME.json`.
//! Nothing here passes or fails: a figure is read by a person, beside the machine it was taken on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool at a developer's hand that stops where it cannot go on"
)]

mod import;
mod instance;
mod meta;
mod pages;
mod release;
mod report;
mod send;
mod start;
mod statements;
mod webhooks;

use report::Report;
use webhooks::Load;

const NAMES: &str =
    "  send [10000] [100000]   messages a second, from the button to the last outcome
  meta [10000 80 100000 1000]  messages and messages a second at a simulated Meta, with three statuses each
  statements [100000]     what taking and recording reach alone, without a gateway
  release [1000000]       freezing an audience and writing its messages, beside the bare statement
  import [100000]         rows a second of a CSV file
  pages [1000000]         latencies of the main pages with so many people
  webhooks [--rate 2000] [--seconds 60]   acknowledgements and incoming at a fixed rate: times, lost, behind
  start [5]               first start and later starts of the private PostgreSQL
  all                     everything at a tenth of these sizes";

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let Some((name, sizes)) = arguments.split_first() else {
        eprintln!("usage: ./bench NAME [SIZE ...]\n{NAMES}");
        return;
    };
    let load = Load::of(sizes);
    let sizes: Vec<usize> = sizes
        .iter()
        .take_while(|size| !size.starts_with("--"))
        .map(|size| {
            size.replace('_', "")
                .parse()
                .expect("a size is a whole number")
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(name, &sizes, load));
}

async fn measure(name: &str, sizes: &[usize], load: Load) {
    let or = |default: &[usize]| {
        if sizes.is_empty() {
            default.to_vec()
        } else {
            sizes.to_vec()
        }
    };
    let one = |default: usize| *or(&[default]).first().unwrap();
    let mut report = Report::new(name);
    match name {
        "send" => send::measure(&mut report, &or(&[10_000, 100_000])).await,
        "meta" => meta::measure(&mut report, &or(&[10_000, 80, 100_000, 1_000])).await,
        "statements" => statements::measure(&mut report, one(100_000)).await,
        "release" => release::measure(&mut report, one(1_000_000)).await,
        "import" => import::measure(&mut report, one(100_000)).await,
        "pages" => pages::measure(&mut report, one(1_000_000)).await,
        "webhooks" => webhooks::measure(&mut report, load).await,
        "start" => start::measure(&mut report, one(5)).await,
        "all" => {
            send::measure(&mut report, &[1_000, 10_000]).await;
            statements::measure(&mut report, 10_000).await;
            release::measure(&mut report, 100_000).await;
            import::measure(&mut report, 10_000).await;
            pages::measure(&mut report, 100_000).await;
            start::measure(&mut report, 3).await;
        }
        other => {
            eprintln!("there is no figure called {other}\n{NAMES}");
            return;
        }
    }
    report.finish();
}
