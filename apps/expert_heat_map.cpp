#include "apps/expert_heat_map.h"

#include <algorithm>
#include <string_view>

#include "apps/markup.h"

namespace larder::apps {
namespace {

// Of an expert's uses against an even share: up to which a colour goes, light to dark. Dead experts
// have a colour that no scale of blue comes near, to eyes that see no red or green either.
struct Shade {
  double below;
  const char* color;
  const char* label;
};
constexpr Shade kShades[] = {{0.25, "#eef3fa", "&lt; 1/4"},   {0.5, "#cfe0f1", "&lt; 1/2"},
                             {0.8, "#a6c8e4", "&lt; 0.8"},    {1.25, "#74a9d2", "about even"},
                             {2, "#4384ba", "&lt; 2"},        {4, "#1f5f9c", "&lt; 4"},
                             {1e300, "#0b3a6e", "4 and more"}};
constexpr const char* kDeadColor = "#d9480f";

// All in pixels.
constexpr int kLeft = 64, kTop = 104, kMapWidth = 960, kBarGap = 16, kBarWidth = 96;
constexpr int kCurveWidth = 320, kCurveHeight = 220, kCurveGap = 72, kBottom = 64;
constexpr int kCurvePoints = 64;

struct Geometry {
  double cell_width, cell_height;
  int n_layers, n_experts;  // of the widest layer
  double map_width() const { return cell_width * n_experts; }
  double map_height() const { return cell_height * n_layers; }
  double width() const {
    return std::max(kLeft + map_width() + kBarGap + kBarWidth, 560.0) + kLeft;
  }
  double curve_top() const { return kTop + map_height() + kCurveGap; }
  double height() const { return curve_top() + kCurveHeight + kBottom; }
};

Geometry geometry_of(const ExpertUsage& usage) {
  Geometry g = {};
  g.n_layers = static_cast<int>(usage.layers().size());
  for (const LayerUsage& layer : usage.layers()) {
    g.n_experts = std::max(g.n_experts, static_cast<int>(layer.n_experts()));
  }
  g.cell_width = std::clamp(1.0 * kMapWidth / g.n_experts, 2.0, 32.0);
  g.cell_height = g.n_layers > 32 ? 10 : 16;
  return g;
}

const char* color_of(const LayerUsage& layer, int64_t count, double even) {
  if (count == 0) return kDeadColor;
  const double share = layer.n_uses() == 0 ? 0 : static_cast<double>(count) / even;
  return std::find_if(std::begin(kShades), std::end(kShades) - 1,
                      [&](const Shade& shade) { return share < shade.below; })
      ->color;
}

std::string cells(const LayerUsage& layer, const Geometry& g, double y) {
  const double even = static_cast<double>(layer.n_uses()) / layer.n_experts();
  std::string text;
  for (int32_t e = 0; e < layer.n_experts(); ++e) {
    const int64_t count = layer.counts[static_cast<size_t>(e)];
    text += formatted(
        "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%.0f\" fill=\"%s\">"
        "<title>layer %d, expert %d: %lld uses</title></rect>\n",
        kLeft + e * g.cell_width, y, g.cell_width, g.cell_height, color_of(layer, count, even),
        layer.layer, static_cast<int>(e), static_cast<long long>(count));
  }
  return text;
}

std::string balance_bar(const LayerUsage& layer, const Geometry& g, double y) {
  const double x = kLeft + g.map_width() + kBarGap;
  return formatted(
      "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" fill=\"#74a9d2\">"
      "<title>layer %d: balance %.1f %%, %d dead</title></rect>\n",
      x, y + 1, kBarWidth * layer.balance(), g.cell_height - 2, layer.layer, 100 * layer.balance(),
      static_cast<int>(layer.dead().size()));
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return formatted("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + text +
         "</text>\n";
}

std::string map_of(const ExpertUsage& usage, const Geometry& g) {
  std::string text;
  const int step = g.n_layers > 32 ? 4 : 1;
  for (int i = 0; i < g.n_layers; ++i) {
    const LayerUsage& layer = usage.layers()[static_cast<size_t>(i)];
    const double y = kTop + i * g.cell_height;
    text += cells(layer, g, y) + balance_bar(layer, g, y);
    if (i % step == 0) {
      text += label(kLeft - 8, y + g.cell_height * 0.8, "end", std::to_string(layer.layer));
    }
  }
  text += label(kLeft - 8, kTop - 8, "end", "layer");
  text += label(kLeft, kTop - 8, "start", "expert 0");
  text += label(kLeft + g.map_width(), kTop - 8, "end", std::to_string(g.n_experts - 1));
  return text + label(kLeft + g.map_width() + kBarGap, kTop - 8, "start", "balance to 100 %");
}

std::string legend() {
  std::string text;
  double x = kLeft;
  const auto entry = [&](const char* color, const char* what, double width) {
    text +=
        formatted("<rect x=\"%.0f\" y=\"56\" width=\"14\" height=\"14\" fill=\"%s\"/>\n", x, color);
    text += label(x + 18, 67, "start", what);
    x += width;
  };
  entry(kDeadColor, "never", 64);
  for (const Shade& shade : kShades)
    entry(shade.color, shade.label, 64 + 20 * (shade.below == 1.25));
  return text + label(x + 32, 67, "start", "times an even share");
}

// The share of uses (up) that the most used experts (to the right) take.
class CoverageCurve {
 public:
  CoverageCurve(const ExpertUsage& usage, const Geometry& g) : usage_(usage), g_(g) {}

  std::string draw() const {
    std::string upper, lower, middle;
    const std::vector<double> mean = usage_.coverage(kCurvePoints);
    for (int i = 0; i <= kCurvePoints; ++i) {
      const double experts = 1.0 * i / kCurvePoints;
      double least = 1, most = 0;
      for (const LayerUsage& layer : usage_.layers()) {
        const double share = layer.share_of_top(experts);
        least = std::min(least, share);
        most = std::max(most, share);
      }
      upper += point(experts, most);
      lower = point(experts, least) + lower;
      middle += point(experts, mean[static_cast<size_t>(i)]);
    }
    return frame() + "<polygon fill=\"#cfe0f1\" points=\"" + upper + lower + "\"/>\n" +
           "<polyline fill=\"none\" stroke=\"#888\" stroke-dasharray=\"4 4\" points=\"" +
           point(0, 0) + point(1, 1) + "\"/>\n" +
           "<polyline fill=\"none\" stroke=\"#0b3a6e\" stroke-width=\"2\" points=\"" + middle +
           "\"/>\n" + words();
  }

 private:
  double x(double experts) const { return kLeft + experts * kCurveWidth; }
  double y(double uses) const { return g_.curve_top() + (1 - uses) * kCurveHeight; }
  std::string point(double experts, double uses) const {
    return formatted("%.1f,%.1f ", x(experts), y(uses));
  }

  std::string frame() const {
    std::string text;
    for (const int percent : {0, 25, 50, 75, 100}) {
      const double share = percent / 100.0;
      text += "<polyline fill=\"none\" stroke=\"#ddd\" points=\"" + point(share, 0) +
              point(share, 1) + "\"/>\n<polyline fill=\"none\" stroke=\"#ddd\" points=\"" +
              point(0, share) + point(1, share) + "\"/>\n";
      text += label(x(share), y(0) + 18, "middle", std::to_string(percent) + " %");
      text += label(kLeft - 8, y(share) + 4, "end", std::to_string(percent));
    }
    return text;
  }

  std::string words() const {
    const double right = kLeft + kCurveWidth + 24;
    double for_90 = 0;
    for (const LayerUsage& layer : usage_.layers()) {
      for_90 += 1.0 * layer.n_covering(0.9) / layer.n_experts();
    }
    for_90 /= static_cast<double>(usage_.layers().size());
    return label(kLeft, y(1) - 12, "start", "uses that the most used experts take, in %") +
           label(x(0.5), y(0) + 36, "middle", "experts of a layer") +
           label(right, y(1) + 12, "start", "line: mean of the layers; band: least to most") +
           label(right, y(1) + 30, "start", "dashed: all experts alike") +
           label(right, y(1) + 48, "start",
                 formatted("90 %% of uses: %.0f %% of experts", 100 * for_90));
  }

  const ExpertUsage& usage_;
  const Geometry& g_;
};

}  // namespace

std::string to_svg(const ExpertUsage& usage, const HeatMapTitle& title) {
  const Geometry g = geometry_of(usage);
  std::string text = formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
      "height=\"%.0f\" font-family=\"system-ui, sans-serif\" font-size=\"11\" fill=\"#222\">\n",
      g.width(), g.height(), g.width(), g.height());
  text += "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  text += "<text x=\"64\" y=\"32\" font-size=\"16\">" + escaped(title.model) + " (" +
          escaped(title.architecture) + "): use of experts over " +
          std::to_string(usage.n_tokens()) + " tokens</text>\n";
  return text + legend() + map_of(usage, g) + CoverageCurve(usage, g).draw() + "</svg>\n";
}

std::string to_html(const ExpertUsage& usage, const HeatMapTitle& title) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
         escaped(title.model) +
         ": experts</title>\n<style>body{margin:24px;background:#fff;color:#222}"
         "svg{max-width:100%;height:auto}pre{font-size:12px}</style></head><body>\n" +
         to_svg(usage, title) + "<pre>\n" + escaped(to_table(usage)) + "</pre>\n</body></html>\n";
}

}  // namespace larder::apps
