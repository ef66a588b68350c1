//! From the command to the first answer: on an empty folder, on a used one, after a kill.

use crate::instance::{data_folder, serve};
use crate::report::{Report, percentile};

pub async fn measure(report: &mut Report, times: usize) {
    wablast::gateways::http::Http::new().unwrap();
    let data = data_folder();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (mut process, first) = serve(data.path(), port, false).await;
    process.stop();
    report.row("first start, empty folder", first.as_secs_f64(), "s");
    let (mut later, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..times.max(1) {
        let (mut process, took) = serve(data.path(), port, false).await;
        process.stop();
        later.push(took.as_secs_f64());
    }
    for _ in 0..times.max(1) {
        let (mut process, _) = serve(data.path(), port, false).await;
        process.kill();
        let (mut process, took) = serve(data.path(), port, false).await;
        process.stop();
        killed.push(took.as_secs_f64());
    }
    report.row("later start, median", percentile(&mut later, 50), "s");
    report.row("later start, slowest", percentile(&mut later, 100), "s");
    report.row(
        "start right after kill -9, slowest",
        percentile(&mut killed, 100),
        "s",
    );
}
