#include "app/ctl_evaluate.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::app::ctl {
namespace {

using testing::TemporaryFolder;

struct Ran {
  int status = 0;
  std::string out;
  std::string err;
};

Ran run(const EvaluateOptions& options) {
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, false};
  Ran ran;
  ran.status = evaluate(options, console);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

/// Two pairs of files with a burst in the test part.
void write_pairs(const TemporaryFolder& folder) {
  for (const int shift : {0, 1}) {
    std::string train = "time,ax\n";
    std::string test = "time,ax,label\n";
    for (int i = 0; i < 1400; ++i) {
      const bool burst = i >= 1100 + 100 * shift && i < 1140 + 100 * shift;
      const double value = std::sin(i * 0.37 + shift) + 0.1 * std::sin(i * 12.9) +
                           (burst ? std::sin(i * 2.3) * 2 : 0);
      char line[80];
      std::snprintf(line, sizeof line, "%d,%.6f", i, value);
      if (i < 900) {
        train += std::string(line) + "\n";
      } else {
        test += std::string(line) + (burst ? ",1\n" : ",0\n");
      }
    }
    const std::string name = shift == 0 ? "a" : "b<c>";
    folder.write(name + "_train.csv", train);
    folder.write(name + "_test.csv", test);
  }
}

EvaluateOptions csv_options(const TemporaryFolder& folder) {
  EvaluateOptions options;
  options.protocol = "csv";
  options.data = folder.path().string();
  options.detectors = "zscore,pca";
  options.threads = 2;
  return options;
}

TEST_CASE("evaluate prints a table with the controls in it", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  write_pairs(folder);
  const Ran ran = run(csv_options(folder));
  CHECK(ran.status == kOk);
  for (const char* part : {"csv, causal, 2 series", "detector", "zscore ", "pca ",
                           "random (control)", "constant (control)", "clock (control)", "VUS-PR",
                           "PA-F1* (random)", "chosen by the truth"}) {
    CAPTURE(part, ran.out);
    CHECK(ran.out.find(part) != std::string::npos);
  }
}

TEST_CASE("evaluate --json is one object, the same for the same seed", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  write_pairs(folder);
  EvaluateOptions options = csv_options(folder);
  options.json = true;
  const auto parse = [](const Ran& ran) {
    CHECK(ran.status == kOk);
    return nlohmann::json::parse(ran.out);
  };
  auto first = parse(run(options));
  CHECK(first["protocol"] == "csv");
  CHECK(first["mode"] == "causal");
  REQUIRE(first["results"].size() == 5);
  CHECK(first["results"][1]["detector"] == "pca");
  CHECK(first["results"][1]["seconds"].is_number());
  const auto& metrics = first["results"][1]["metrics"];
  for (const char* name : {"vus_pr", "vus_roc", "auc_pr", "auc_roc", "fc1", "f1",
                           "recall_at_budget", "pa_f1", "pa_f1_of_random", "calibration_1e-3"}) {
    CAPTURE(name);
    CHECK(metrics.contains(name));
  }
  CHECK(metrics["auc_roc"].get<double>() > 0.8);
  options.threads = 1;
  auto second = parse(run(options));
  for (auto* table : {&first, &second}) {
    for (auto& result : (*table)["results"]) result.erase("seconds");
  }
  CHECK(first == second);
}

TEST_CASE("evaluate --html writes a report that stands alone", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  write_pairs(folder);
  EvaluateOptions options = csv_options(folder);
  options.html = (folder.path() / "report.html").string();
  const Ran ran = run(options);
  REQUIRE(ran.status == kOk);
  std::ifstream file(options.html);
  const std::string html((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::size_t plots = 0;
  for (std::size_t at = html.find("<svg"); at != std::string::npos;
       at = html.find("<svg", at + 1)) {
    ++plots;
  }
  CHECK(plots == 4);  // two series, two detectors
  CHECK(html.find("b&lt;c&gt;") != std::string::npos);
  CHECK(html.find("b<c>") == std::string::npos);
  for (const char* outside : {"http://", "https://", "src=", "<script", "@import"}) {
    CAPTURE(outside);
    CHECK(html.find(outside) == std::string::npos);
  }
  CHECK(html.find("nan") == std::string::npos);
  CHECK(html.ends_with("</body></html>\n"));
  options.html = (folder.path() / "no" / "report.html").string();
  CHECK(run(options).status == kFailed);
}

TEST_CASE("evaluate tells which series could not be judged", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  write_pairs(folder);
  std::string train = "ax\n";
  std::string test = "ax,label\n";
  for (int i = 0; i < 300; ++i) {
    train += "1\n";
    test += i == 200 ? "2,1\n" : "1,0\n";
  }
  folder.write("still_train.csv", train);
  folder.write("still_test.csv", test);
  EvaluateOptions options = csv_options(folder);
  options.detectors = "pca";
  options.html = (folder.path() / "report.html").string();
  options.plots = 0;
  const Ran ran = run(options);
  REQUIRE(ran.status == kOk);
  CAPTURE(ran.out);
  CHECK(ran.out.find("pca: not learned or not scored on 1 of 3 series") != std::string::npos);
  CHECK(ran.out.find("pca: 300 of 1300 judged samples have no score") != std::string::npos);
  CHECK(ran.out.find("random (control)", ran.out.find("observed over promised")) !=
        std::string::npos);
  std::ifstream file(options.html);
  const std::string html((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  CHECK(html.find("<svg") == std::string::npos);
  CHECK(html.find("<li>still: no channel moves") != std::string::npos);
  CHECK(html.find("300 of 1300 judged samples") != std::string::npos);
  options.html.clear();
  options.json = true;
  const auto json = nlohmann::json::parse(run(options).out);
  CHECK(json["results"][0]["failed"] == 1);
  CHECK(json["results"][0]["unscored"] == 300);
  CHECK(json["results"][0]["judged"] == 1300);
}

TEST_CASE("evaluate says what is wrong", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  write_pairs(folder);
  const auto refused = [&](auto change, int status, const char* part) {
    EvaluateOptions options = csv_options(folder);
    change(options);
    const Ran ran = run(options);
    CAPTURE(ran.err);
    CHECK(ran.status == status);
    CHECK(ran.err.find(part) != std::string::npos);
    CHECK(ran.out.empty());
  };
  refused([](auto& o) { o.protocol = "swat"; }, kUsage, "skab, nab, ucr, csv, recordings");
  refused([](auto& o) { o.mode = "best"; }, kUsage, "causal, lag, offline");
  refused(
      [](auto& o) {
        o.mode = "offline";
        o.detectors = "a.safetensors";
      },
      kUsage, "a.safetensors is learned already");
  refused([](auto& o) { o.detectors = "zscore,lstm"; }, kUsage, "no detector 'lstm'");
  refused([](auto& o) { o.detectors = "zscore,"; }, kUsage, "expected names");
  refused([](auto& o) { o.detectors = "pca,pca"; }, kUsage, "occurs twice");
  refused([](auto& o) { o.alarm_p = 0; }, kUsage, "--alarm-p");
  refused([](auto& o) { o.window_samples = 1; }, kUsage, "--window");
  refused([](auto& o) { o.epochs = 0; }, kUsage, "--epochs");
  refused([](auto& o) { o.data += "/gone"; }, kFailed, "gone");
  folder.write("c_test.csv", "ax,label\n1,7\n");
  folder.write("c_train.csv", "ax\n1\n");
  refused([](auto&) {}, kFailed, "c_test.csv:2: column 'label': expected 0 or 1");
}

/// A noisy recording; its second column is a label where `label` says so.
std::string noisy_csv(bool label) {
  std::string text = label ? "time,ax,label\n" : "time,ax\n";
  for (int i = 0; i < 5000; ++i) {
    const double noise = std::sin(i * 12.9898) * 43758.5453;
    char line[80];
    std::snprintf(line, sizeof line, "%.1f,%.5f", i * 0.5, 20 + noise - std::floor(noise));
    text += std::string(line) + (label ? ",0\n" : "\n");
  }
  return text;
}

EvaluateOptions synthetic_options(const std::string& file) {
  EvaluateOptions options;
  options.protocol = "synthetic";
  options.file = file;
  options.detectors = "zscore";
  options.threads = 2;
  return options;
}

TEST_CASE("evaluate synthetic tells what would be caught", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  EvaluateOptions options = synthetic_options(folder.write("pump.csv", noisy_csv(false)));
  const Ran ran = run(options);
  REQUIRE(ran.status == kOk);
  for (const char* part : {"synthetic, causal, pump.csv: learned from 2500 of 5000 rows",
                           "random (control)", "zscore: caught of those put in", "kind ",
                           "192 long", "level ", "splice", "On this stream zscore would catch"}) {
    CAPTURE(part, ran.out);
    CHECK(ran.out.find(part) != std::string::npos);
  }
  CHECK(ran.out.find("decoupled") == std::string::npos);  // of one channel
  options.json = true;
  const auto parse = [](const Ran& printed) {
    REQUIRE(printed.status == kOk);
    auto json = nlohmann::json::parse(printed.out);
    for (auto& result : json["results"]) result.erase("seconds");
    return json;
  };
  const auto json = parse(run(options));
  CHECK(json["protocol"] == "synthetic");
  CHECK(json["train_rows"] == 2500);
  REQUIRE(json["results"].size() == 2);
  CHECK(json["results"][1]["detector"] == "random");
  CHECK(json["results"][1]["control"] == true);
  const auto& zscore = json["results"][0];
  CHECK(zscore["metrics"]["caught"].get<double>() > json["results"][1]["metrics"]["caught"]);
  CHECK(zscore["failure"].is_null());
  std::size_t put = 0;
  for (const auto& cell : zscore["anomalies"]) {
    put += cell["put"].get<std::size_t>();
    if (cell["kind"] == "level") CHECK(cell["strength"].get<double>() > 0);
    if (cell["kind"] == "splice") CHECK(cell["strength"].is_null());
    if (cell["delay_samples"].is_number()) {
      CHECK(cell["delay_seconds"].get<double>() == 0.5 * cell["delay_samples"].get<double>());
    }
  }
  CHECK(zscore["put"] == put);
  options.threads = 1;
  CHECK(parse(run(options)) == json);
}

TEST_CASE("evaluate synthetic looks at the label column", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  std::string text = noisy_csv(true);
  CHECK(run(synthetic_options(folder.write("good.csv", text))).status == kOk);
  text.replace(text.find(",0\n"), 3, ",1\n");
  const Ran bad = run(synthetic_options(folder.write("bad.csv", text)));
  CHECK(bad.status == kFailed);
  CHECK(bad.err.find("bad.csv: sample 0 of the train part is labelled") != std::string::npos);
}

TEST_CASE("evaluate synthetic says what is wrong", "[app][ctl][evaluate]") {
  const TemporaryFolder folder;
  const EvaluateOptions good = synthetic_options(folder.write("pump.csv", noisy_csv(false)));
  const auto refused = [&](auto change, int status, const char* part) {
    EvaluateOptions options = good;
    change(options);
    const Ran ran = run(options);
    CAPTURE(ran.err);
    CHECK(ran.status == status);
    CHECK(ran.err.find(part) != std::string::npos);
    CHECK(ran.out.empty());
  };
  refused([](auto& o) { o.file.clear(); }, kUsage, "expected a FILE.csv");
  refused([](auto& o) { o.data = "x"; }, kUsage, "no --data");
  refused([](auto& o) { o.train = 1; }, kUsage, "--train: 1, expected between 0 and 1");
  refused([](auto& o) { o.html = "x.html"; }, kUsage, "no --html");
  refused([](auto& o) { o.mode = "offline"; }, kFailed, "mode offline");
  refused([](auto& o) { o.train = 0.99; }, kFailed, "pump.csv: 50 rows behind the train part");
  refused([](auto& o) { o.file += ".gone"; }, kFailed, "pump.csv.gone");
  refused([](auto& o) { o.protocol = "csv"; }, kUsage, "evaluate csv: expected --data DIR");
}

TEST_CASE("The closing sentence names kinds, strengths and lengths", "[app][ctl][evaluate]") {
  using detect::Anomaly;
  evaluate::SyntheticResult result;
  result.detector = "tiny";
  const auto add = [&](Anomaly kind, double strength, std::size_t length, std::size_t caught) {
    result.cells.push_back({kind, strength, length, 4, caught, 1});
    result.caught += caught;
  };
  add(Anomaly::kSpike, 1, 1, 2);
  add(Anomaly::kSpike, 2, 1, 3);
  add(Anomaly::kLevel, 1, 12, 2);
  add(Anomaly::kLevel, 1, 48, 4);
  add(Anomaly::kFlat, 0, 12, 4);
  add(Anomaly::kSplice, 0, 12, 0);
  evaluate::SyntheticResult random;
  CHECK(synthetic_sentence(result, random) ==
        "On this stream tiny would catch spike from strength 2, level over 48 samples and flat; it "
        "would miss splice.");
  random.caught = result.caught;
  CHECK(synthetic_sentence(result, random).find("its alarms say nothing") != std::string::npos);
  result.cells.resize(1);
  CHECK(synthetic_sentence(result, {}) ==
        "On this stream tiny would catch no kind reliably; it would miss spike.");
}

TEST_CASE("Figures have four digits at most", "[app][ctl][evaluate]") {
  CHECK(figure_text(0) == "0.0000");
  CHECK(figure_text(0.12345) == "0.1235");
  CHECK(figure_text(67.551) == "67.55");
  CHECK(figure_text(-3.14159) == "-3.1416");
  CHECK(figure_text(5949) == "5949");
  CHECK(figure_text(1e-9) == "1e-09");
  CHECK(figure_text(std::numeric_limits<double>::quiet_NaN()) == "-");
}

}  // namespace
}  // namespace anomalyd::app::ctl
