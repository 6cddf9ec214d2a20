// The report as a page.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/job_report.h"
#include "apps/markup.h"
#include "formats/json/json.h"

namespace larder::apps {
namespace {

// All in pixels.
constexpr int kLeft = 64, kTop = 32, kPlotWidth = 720, kPlotHeight = 180, kBottom = 44;

// Bars from the first bin to the last, with the axis's ends and the tallest bar's value written.
std::string bars(const Histogram& histogram, double per, const char* unit, const char* what) {
  const auto& bins = histogram.bins();
  if (bins.empty()) return {};
  const int64_t first = bins.begin()->first, n = bins.rbegin()->first - first + 1;
  double most = 0;
  for (const auto& [bin, weight] : bins) most = std::max(most, weight / per);
  const double width = 1.0 * kPlotWidth / static_cast<double>(n);
  std::string text = formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
      "font-family=\"system-ui, sans-serif\" font-size=\"11\" fill=\"#222\">\n",
      kLeft * 2 + kPlotWidth, kTop + kPlotHeight + kBottom, kLeft * 2 + kPlotWidth,
      kTop + kPlotHeight + kBottom);
  for (const auto& [bin, weight] : bins) {
    const double value = weight / per, height = most > 0 ? value / most * kPlotHeight : 0;
    text += formatted(
        "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#4384ba\">"
        "<title>%.6g to %.6g%s: %.6g</title></rect>\n",
        kLeft + static_cast<double>(bin - first) * width, kTop + kPlotHeight - height,
        std::max(width - 1, 0.5), height, static_cast<double>(bin) * histogram.width(),
        static_cast<double>(bin + 1) * histogram.width(), unit, value);
  }
  const int base = kTop + kPlotHeight;
  text += formatted("<path d=\"M%d %dH%d\" stroke=\"#888\"/>\n", kLeft, base, kLeft + kPlotWidth);
  const auto label = [&](double x, double y, const char* anchor, const std::string& words) {
    text += formatted("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + words +
            "</text>\n";
  };
  label(kLeft, base + 18, "start",
        formatted("%.6g%s", static_cast<double>(first) * histogram.width(), unit));
  label(kLeft + kPlotWidth, base + 18, "end",
        formatted("%.6g%s", static_cast<double>(first + n) * histogram.width(), unit));
  label(kLeft - 8, kTop + 4, "end", formatted("%.4g", most));
  label(kLeft + kPlotWidth / 2.0, base + 36, "middle", what);
  return text + "</svg>\n";
}

std::string row(const std::string& name, const std::string& value) {
  return "<tr><th>" + name + "</th><td>" + value + "</td></tr>\n";
}

}  // namespace

std::string JobReport::to_html(const JobFacts& facts) const {
  std::string page =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>larder " +
      escaped(facts.command) +
      "</title>\n<style>body{margin:24px;background:#fff;color:#222;font:14px system-ui,sans-serif}"
      "svg{max-width:100%;height:auto}th{text-align:left;font-weight:normal;padding-right:24px;"
      "color:#666}td{font-variant-numeric:tabular-nums}h2{font-size:15px;margin-top:28px}"
      "pre{font-size:12px;white-space:pre-wrap}</style></head><body>\n<h1>larder " +
      escaped(facts.command) + "</h1>\n<table>\n";
  const auto count = [](int64_t n) { return std::to_string(n); };
  page += row("lines", count(n_lines_)) + row("completed", count(n_lines_ - n_failed_)) +
          row("failed", count(n_failed_)) + row("done by earlier runs", count(facts.n_resumed)) +
          row("tokens read", count(n_prompt_)) + row("tokens made", count(n_predicted_)) +
          row("working time", formatted("%.1f s", seconds())) +
          row("tokens a second", formatted("%.1f", tokens_per_second()));
  if (n_scores_ > 0) {
    page += row("mean score", formatted("%.6g", sum_of_scores_ / static_cast<double>(n_scores_)));
  }
  page += "</table>\n";
  if (n_scores_ > 0) {
    page += "<h2>Scores</h2>\n" + bars(scores_, 1, "", "log-probability of an item, in nats");
  }
  page += "<h2>Throughput</h2>\n" +
          bars(throughput_, throughput_.width(), " s", "tokens a second, over working time");
  page += "<h2>Slowest items</h2>\n<table>\n<tr><th>line</th><th>id</th><th>seconds</th></tr>\n";
  for (const Slow& slow : slowest_) {
    page += "<tr><td>" + count(slow.line) + "</td><td>" + escaped(slow.id) + "</td><td>" +
            formatted("%.3f", slow.took_ms / 1e3) + "</td></tr>\n";
  }
  return page + "</table>\n<h2>What the results depend on</h2>\n<pre>" +
         escaped(to_json(facts.identity)) + "</pre>\n</body></html>\n";
}

}  // namespace larder::apps
