// larder bench: what its figures are made of, and that every way of use it is asked for is there.
#include <doctest/doctest.h>
#include <signal.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/bench_limits.h"
#include "apps/bench_report.h"
#include "apps/pass_watchers.h"
#include "apps/processor.h"
#include "runtime/model/token_work.h"
#include "tests/hollow_model.h"
#include "tests/larder_program.h"
#include "tests/tiny_model.h"

using namespace larder;
using namespace larder::apps;
using larder::tests::check_error;
using larder::tests::content;
using larder::tests::Finished;
using larder::tests::has;
using larder::tests::larder_run;
using larder::tests::run_for;
using larder::tests::TemporaryFolder;
using nlohmann::json;

namespace {

Measurement measured(std::vector<double> seconds) {
  Measurement m;
  m.n_tokens = 12;
  m.seconds = std::move(seconds);
  m.ops = 600;
  m.bytes = 300;
  return m;
}

void check_speeds(const json& measurement) {
  const json& speed = measurement["tokens_per_s"];
  CHECK(speed["min"].get<double>() > 0);
  CHECK(speed["min"].get<double>() <= speed["median"].get<double>());
  CHECK(speed["median"].get<double>() <= speed["max"].get<double>());
}

}  // namespace

TEST_CASE("bench: a median is the middle repetition, or the mean of the two in the middle") {
  const Measurement odd = measured({1, 2, 6});
  CHECK(odd.median_seconds() == 2);
  CHECK(odd.median() == 6);
  CHECK(odd.slowest() == 2);
  CHECK(odd.fastest() == 12);
  CHECK(odd.ops_per_s() == 300);
  CHECK(odd.bytes_per_s() == 150);
  CHECK(odd.total_seconds() == 9);
  CHECK(measured({1, 2, 4, 6}).median_seconds() == 3);
}

TEST_CASE("bench: shares are of the mean of the limits before and after") {
  const quant::MachineLimits before = {10, 100};
  CHECK((LimitsAround{before, std::nullopt}).mean().read_bytes_per_s == 10);
  const quant::MachineLimits mean = LimitsAround{before, quant::MachineLimits{30, 500}}.mean();
  CHECK(mean.read_bytes_per_s == 20);
  CHECK(mean.int8_ops_per_s == 300);
}

TEST_CASE("bench: a limit that was measured once is its own mean") {
  const LimitsAround limits = {{0, 100}, quant::MachineLimits{30, 300}};
  CHECK(limits.mean().read_bytes_per_s == 30);
  CHECK(limits.mean().int8_ops_per_s == 200);
}

TEST_CASE("bench: shares are of limits that bound and are known") {
  Measurement m = measured({2});  // 300 operations a second, 150 bytes
  m.is_int8 = true;
  CHECK(shares(m, {600, 400}).of_reading == 0.25);
  CHECK(shares(m, {600, 400}).of_int8 == 0.75);
  CHECK(shares(m, {600, 400}).most() == 0.75);
  CHECK(shares(m, {200, 400}).most() == 0.75);
  CHECK(shares(m, {200, 4000}).most() == 0.75);
  CHECK_FALSE(shares(m, {0, 400}).of_reading.has_value());
  CHECK(shares(m, {0, 400}).most() == 0.75);
  m.is_int8 = false;
  CHECK(shares(m, {600, 400}).most() == 0.25);
  CHECK_FALSE(shares(m, {0, 400}).most().has_value());
  m.bytes = 0;
  CHECK_FALSE(shares(m, {600, 400}).most().has_value());
}

TEST_CASE("bench: reading is measured in several times the caches, or not at all") {
  constexpr uint64_t kMiB = 1 << 20;
  CHECK(probe_bytes(32 * kMiB, UINT64_MAX) == 512 * kMiB);
  CHECK(probe_bytes(384 * kMiB, UINT64_MAX) == 1536 * kMiB);
  CHECK(probe_bytes(32 * kMiB, 200 * kMiB) == 200 * kMiB);
  CHECK(probe_bytes(32 * kMiB, 128 * kMiB) == 128 * kMiB);
  CHECK(probe_bytes(32 * kMiB, 128 * kMiB - 1) == 0);
  CHECK(probe_bytes(0, 300 * kMiB) == 0);  // the caches are not known
  CHECK(probe_bytes(0, 400 * kMiB) == 400 * kMiB);
}

TEST_CASE("bench: the caches of the last level are counted once each") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder.path() + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  };
  const auto cache = [&](int cpu, int index, const char* level, const char* type, const char* size,
                         const char* sharers) {
    const std::string at = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index" +
                           std::to_string(index) + "/";
    write(at + "level", level);
    write(at + "type", type);
    write(at + "size", size);
    write(at + "shared_cpu_list", sharers);
  };
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string own = std::to_string(cpu);
    cache(cpu, 0, "1", "Data", "48K", own.c_str());
    cache(cpu, 1, "2", "Unified", "1024K", own.c_str());
  }
  write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some Processor: fast");
  CHECK(processor(folder.path()).last_level_cache_bytes == 4 << 20);
  CHECK(processor(folder.path()).name == "Some Processor: fast");
  for (int cpu = 0; cpu < 4; ++cpu) cache(cpu, 2, "3", "Unified", "32M", cpu < 2 ? "0-1" : "2-3");
  CHECK(processor(folder.path()).last_level_cache_bytes == 64 << 20);
  CHECK(processor(folder.path() + "/none").last_level_cache_bytes == 0);
  CHECK(processor(folder.path() + "/none").name.empty());
}

TEST_CASE("bench: reading has no limit where memory for it would be a cache's") {
  const std::vector<std::string> work = {"bench", "-p", "4", "-n", "4", "-r", "1", "-q", "--ram"};
  std::vector<std::string> table = work, record = work;
  table.insert(table.end(), {"60M"});
  record.insert(record.end(), {"60M", "--json"});
  const Finished told = larder_run(table);
  REQUIRE_MESSAGE(told.code == 0, told.err);
  CHECK(has(told.out, "Reading is not measured"));
  CHECK_FALSE(has(told.out, "% of reading"));
  const json result = json::parse(larder_run(record).out);
  CHECK(result["limits"]["mean"]["read_bytes_per_s"].is_null());
  CHECK(result["limits"]["mean"]["int8_ops_per_s"].get<double>() > 0);
  CHECK(result["measurements"][1]["share_of_read_bytes"].is_null());
}

TEST_CASE("bench: float arithmetic has no share of 8-bit operations") {
  const auto prefill = [](std::vector<std::string> with) {
    with.insert(with.begin(), {"bench", "-p", "4", "-n", "0", "-r", "1", "--json"});
    const Finished run = larder_run(with);
    REQUIRE_MESSAGE(run.code == 0, run.err);
    return json::parse(run.out)["measurements"][0]["share_of_int8_ops"];
  };
  const TemporaryFolder folder;
  const std::string floats = folder.file("floats.gguf", tests::tiny_model().build());
  CHECK(prefill({}).is_number());
  CHECK(prefill({"--exact"}).is_null());
  CHECK(prefill({"-m", floats}).is_null());
}

TEST_CASE("bench: an expert that many tokens chose is counted once a pass and layer") {
  const auto opened = tests::open_model(tests::tiny_model());
  REQUIRE(opened.model.ok());
  ExpertCounter counter(**opened.model);
  const uint64_t expert = runtime::expert_work((*opened.model)->weights().layers[0]).bytes;
  REQUIRE(expert > 0);
  std::vector<int32_t> chosen = {0, 1, 1, 0, 3, 1};
  counter.routes(0, chosen.data(), nullptr, 3, 2);
  counter.routes(1, chosen.data(), nullptr, 1, 2);
  CHECK(counter.n_touched() == 5);
  CHECK(counter.n_layer_passes() == 2);
  CHECK(counter.bytes_touched() == 5 * expert);
  counter.forget();
  CHECK(counter.n_touched() + counter.bytes_touched() + counter.n_layer_passes() == 0);
}

TEST_CASE("bench: all ways at all depths, in the order asked for") {
  const Finished run = larder_run({"bench", "-p", "24", "-n", "6", "-d", "0,40,8", "-r", "2",
                                   "--mixed", "--parallel", "5", "--parts", "--json"});
  REQUIRE(run.code == 0);
  const json result = json::parse(run.out);
  std::vector<std::string> found;
  for (const json& m : result["measurements"]) {
    found.push_back(m["way"].get<std::string>() + " " + std::to_string(m["depth"].get<int>()));
    check_speeds(m);
    CHECK(m["seconds"].size() == 2);
    double parts = 0, total = 0;
    for (const json& seconds : m["part_seconds"]) parts += seconds.get<double>();
    for (const json& seconds : m["seconds"]) total += seconds.get<double>();
    CHECK(m["part_seconds"]["attention"].get<double>() > 0);
    CHECK(m["part_seconds"]["experts"].get<double>() > 0);
    CHECK(parts == doctest::Approx(total));
    CHECK(m["part_seconds"]["sampling"] == m["sampling_seconds"]);
    CHECK((m["sampling_seconds"].get<double>() > 0) == (m["way"] != "prefill"));
    CHECK(m["part_seconds"]["head"].get<double>() > 0);
  }
  const std::vector<std::string> expected = {
      "prefill 0", "decode 0", "mixed 0", "prefill 40", "decode 40",   "mixed 40",
      "prefill 8", "decode 8", "mixed 8", "parallel 0", "parallel 40", "parallel 8"};
  CHECK(found == expected);
  CHECK(result["limits"]["before"]["read_bytes_per_s"].get<double>() > 0);
  CHECK(result["limits"]["after"]["int8_ops_per_s"].get<double>() > 0);
  CHECK(result["peak_memory"]["anonymous_bytes"].get<int64_t>() > 0);
  CHECK(result["peak_memory"]["file_bytes"].get<int64_t>() > 0);
  for (const char* when : {"before", "measuring"})
    CHECK(result["major_faults"][when].get<int64_t>() >= 0);
}

TEST_CASE("bench: one sequence decoded in a crowd of one costs what decoding costs") {
  const Finished run = larder_run(
      {"bench", "-p", "0", "-n", "7", "-d", "5", "-r", "1", "--parallel", "1", "--json"});
  REQUIRE(run.code == 0);
  const json result = json::parse(run.out);
  REQUIRE(result["measurements"].size() == 2);
  const json &alone = result["measurements"][0], &crowd = result["measurements"][1];
  CHECK(alone["way"] == "decode");
  CHECK(crowd["way"] == "parallel");
  CHECK(crowd["bytes"] == alone["bytes"]);
  CHECK(crowd["ops"] == alone["ops"]);
  CHECK(crowd["n_tokens"] == 7);
}

TEST_CASE("bench: bytes follow the types of the cache") {
  const auto measured_with = [](const std::string& keys, const std::string& values) {
    const Finished run =
        larder_run({"bench", "-p", "0", "-n", "1", "-d", "99", "-r", "1", "--parallel", "1",
                    "--cache-type-k", keys, "--cache-type-v", values, "--json"});
    REQUIRE_MESSAGE(run.code == 0, run.err);
    const json result = json::parse(run.out);
    CHECK(result["measurements"][0]["bytes"] == result["measurements"][1]["bytes"]);
    return result["measurements"][0]["bytes"].get<int64_t>();
  };
  // The bundled model: 6 layers, 2 heads of 64 for keys and for values, 100 positions.
  constexpr int64_t kElements = 100 * 6 * 2 * 64;
  const int64_t half = measured_with("f16", "f16");
  CHECK(measured_with("f32", "f32") - half == 2 * kElements * 2);
  CHECK(half - measured_with("q8_0", "q8_0") == 2 * kElements / 32 * (64 - 34));
  CHECK(half - measured_with("q8_0", "f16") == kElements / 32 * (64 - 34));
}

TEST_CASE("bench: sequences share experts, and the bytes say so") {
  const auto bytes_of = [](const std::string& n) {
    const Finished run =
        larder_run({"bench", "-p", "0", "-n", "4", "-r", "1", "--parallel", n, "--json"});
    REQUIRE(run.code == 0);
    return json::parse(run.out)["measurements"][1];
  };
  const json one = bytes_of("1"), many = bytes_of("16");
  CHECK(many["bytes"].get<double>() > one["bytes"].get<double>());
  CHECK(many["bytes"].get<double>() < 16 * one["bytes"].get<double>());
  const double distinct = many["distinct_experts_per_layer"];
  CHECK(distinct > one["distinct_experts_per_layer"].get<double>());
  const double reached = many["tokens_per_s"]["median"], bound = many["bound_tokens_per_s"];
  CHECK(reached / bound == doctest::Approx(many["share_of_read_bytes"].get<double>()));
}

TEST_CASE("bench: sequences of a paged model share its experts inside the budget") {
  std::vector<std::string> work = {"bench", "-p",         "4", "-n",    "6", "-r",
                                   "1",     "-b",         "8", "-d",    "3", "--json",
                                   "-q",    "--parallel", "5", "--ram", "1M"};
  const Finished refused = larder_run(work);
  CHECK(refused.code == 4);
  const size_t needs = refused.err.find("needs ");
  REQUIRE(needs != std::string::npos);
  work.back() = std::to_string(std::stoll(refused.err.substr(needs + 6)) + 1) + "M";
  const Finished run = larder_run(work);
  REQUIRE_MESSAGE(run.code == 0, run.err);
  const json measurements = json::parse(run.out)["measurements"];
  REQUIRE(measurements.size() == 3);
  for (const json& m : measurements) {
    REQUIRE(m["experts"].is_object());
    CHECK(m["experts"]["bytes_read"].get<int64_t>() > 0);
    CHECK(m["experts"]["n_tokens"] == m["n_tokens"]);
  }
  // Of the same tokens, whatever memory they have.
  work.resize(work.size() - 2);
  const json crowd = json::parse(larder_run(work).out)["measurements"][2];
  CHECK(crowd["experts"].is_null());
  CHECK(crowd["bytes"] == measurements[2]["bytes"]);
}

TEST_CASE("bench: the result goes to a file as well, whole or not at all") {
  const TemporaryFolder folder;
  const std::string file = folder.path() + "/bench.json";
  const std::vector<std::string> work = {"bench", "-p", "4", "-n", "2", "-r", "1", "-o", file};
  const Finished run = larder_run(work);
  CHECK(run.code == 0);
  CHECK(has(run.out, "prefill"));
  CHECK(has(run.out, "measured after"));
  CHECK(has(run.out, "anonymous"));
  const json result = json::parse(content(file));
  CHECK(result["measurements"].size() == 2);
  CHECK(result["measurements"][0]["part_seconds"].is_null());

  std::vector<std::string> nowhere = work;
  nowhere.back() = folder.path() + "/missing/bench.json";
  check_error(larder_run(nowhere), 1, "bench.json");
}

TEST_CASE("bench: the most memory of each kind is told, whenever it was") {
  const ResidentMemory most = larger({.anonymous_bytes = 5, .file_bytes = 1}, {4, 9});
  CHECK(most.anonymous_bytes == 5);
  CHECK(most.file_bytes == 9);
}

TEST_CASE("bench: mapped experts are not copied, and read from the disk before measuring") {
  const TemporaryFolder folder;
  const std::string file = folder.path() + "/hollow.gguf";
  tests::write_hollow_model(file);
  const Finished run = larder_run({"bench", "-m", file, "-p", "64", "-n", "8", "-r", "1",
                                   "--parallel", "4", "--ram", "1000G", "--json"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  const auto model = runtime::Model::open(file);
  REQUIRE(model.ok());
  const auto plan = runtime::Session::plan(**model, {});  // its context is longer
  REQUIRE(plan.ok());
  CHECK(plan->needs.all_expert_bytes == tests::kHollowExpertBytes);
  const json result = json::parse(run.out), memory = result["peak_memory"];
#if !defined(__SANITIZE_ADDRESS__)  // keeps what is freed, and shadows of it
  CHECK(memory["anonymous_bytes"].get<uint64_t>() <
        plan->needs.dense_bytes + plan->needs.cache_bytes + 300'000'000);
#endif
  CHECK(memory["file_bytes"].get<uint64_t>() > tests::kHollowExpertBytes / 2);
  // One or another page of the program may be missing.
  CHECK(result["major_faults"]["measuring"].get<int64_t>() < 10);
}

TEST_CASE("bench: a record tells what it was measured with") {
  const Finished run = larder_run({"bench", "-p", "4", "-n", "4", "-r", "1", "-c", "100", "-b",
                                   "16", "--cache-type-k", "q8_0", "--isa", "scalar", "--json"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  const json result = json::parse(run.out);
  CHECK("larder " + result["version"].get<std::string>() + "\n" == larder_run({"--version"}).out);
  CHECK(result["n_ctx"] == 100);
  CHECK(result["batch_size"] == 16);
  CHECK(result["cache_type_k"] == "q8_0");
  CHECK(result["cache_type_v"] == "f16");
  CHECK(result["isa"] == "scalar");
  CHECK(result["processor"].contains("name"));
  const std::string time = result["time"];
  REQUIRE(time.size() == 20);
  CHECK(time[10] == 'T');
  CHECK(time.back() == 'Z');
}

TEST_CASE("bench: tokens are the same however many are asked for at once") {
  SpreadTokens some(100), all(100);
  std::vector<formats::TokenId> joined = some.next(3);
  for (const formats::TokenId token : some.next(5)) joined.push_back(token);
  CHECK(joined == all.next(8));
}

TEST_CASE("bench: a signal ends every way of use, however long it would take") {
  const std::vector<std::vector<std::string>> works = {
      {"-p", "0", "-n", "400", "-r", "2000", "--parallel", "8"},
      {"-p", "0", "-n", "400", "-r", "2000", "--parallel", "8", "--ram", "60M"},
      {"-p", "1000000", "-n", "0", "-r", "10000"}};
  for (const std::vector<std::string>& work : works) {
    for (const int signal : {SIGINT, SIGTERM}) {
      std::vector<std::string> command = {LARDER_PROGRAM, "bench"};
      command.insert(command.end(), work.begin(), work.end());
      CAPTURE(work.back());
      CHECK(run_for(command, signal, 2'000'000) == (signal == SIGINT ? 130 : 143));
    }
  }
}

TEST_CASE("bench: a context that is too short is refused before anything is measured") {
  check_error(larder_run({"bench", "-d", "0,4096", "-c", "128"}), 2, "--ctx-size 4608");
  check_error(larder_run({"bench", "-p", "20", "-n", "12", "--mixed", "-c", "31"}), 2,
              "--ctx-size 32");
  CHECK(larder_run({"bench", "-p", "20", "-n", "12", "-r", "1", "-c", "20"}).code == 0);
}

TEST_CASE("bench: what cannot be measured is said") {
  check_error(larder_run({"bench", "-p", "0", "-n", "0"}), 2, "nothing to measure");
  check_error(larder_run({"bench", "-o", ""}), 2, "needs the name of a file");
  check_error(larder_run({"bench", "-n", "0", "--parallel", "2"}), 2, "decodes nothing");
  check_error(larder_run({"bench", "-d", "0,x"}), 2, "x");
  check_error(larder_run({"bench", "-d", "-1"}), 2, "-1");
}
