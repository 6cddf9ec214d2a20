// Lists, dicts, ranges and generators.
#include "formats/template/jinja_operators.h"
#include "formats/template/jinja_value.h"

namespace larder::formats::jinja {

namespace {

int depth_of(const Value& value) noexcept {
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple:
      return value.sequence().depth();
    case Kind::dict:
    case Kind::dict_view:
      return value.dict().depth();
    case Kind::generator:
      return 1;
    default:
      return 0;
  }
}

int depth_above(Budget& budget, int depth, const Value& value) {
  depth = std::max(depth, 1 + depth_of(value));
  if (depth > budget.depth) {
    fail_limit("values nested deeper than " + std::to_string(budget.depth));
  }
  return depth;
}

}  // namespace

ListObject::ListObject(Budget& budget, std::vector<Value> items)
    : Sequence(&budget.heap, sizeof(ListObject) + items.capacity() * sizeof(Value)),
      items_(std::move(items)),
      depth_(1) {
  budget.step_items(items_.size());
  for (const Value& item : items_) depth_ = depth_above(budget, depth_, item);
}

Range::Range(Budget& budget, int64_t start_at, int64_t stop_at, int64_t step_by)
    : Sequence(&budget.heap, sizeof(Range)),
      start(start_at),
      stop(stop_at),
      step(step_by),
      size_(0) {
  if (step == 0) fail("range() arg 3 must not be zero");
  const bool is_up = step > 0;
  if (is_up ? start >= stop : start <= stop) return;
  // Unsigned: the distance of two int64 fits.
  const uint64_t distance =
      is_up ? uint64_t(stop) - uint64_t(start) : uint64_t(start) - uint64_t(stop);
  const uint64_t stride = is_up ? uint64_t(step) : uint64_t{0} - uint64_t(step);
  const uint64_t n = (distance - 1) / stride + 1;
  if (n > static_cast<uint64_t>(budget.range)) {
    fail_limit("a range of more than " + std::to_string(budget.range) + " items");
  }
  size_ = n;
}

Value wrap_data(const DataValue& data, DataContext context) {
  switch (data.kind) {
    case DataValue::Kind::null:
      return Value::none();
    case DataValue::Kind::boolean:
      return Value::boolean(data.boolean);
    case DataValue::Kind::integer:
      return Value::integer(data.integer);
    case DataValue::Kind::real:
      return Value::real(data.real);
    case DataValue::Kind::string:
      return Value::string(make_ref<TextBuffer>(data.string, context.is_input), 0,
                           data.string.size());
    case DataValue::Kind::list:
      return Value::of(Kind::list, make_ref<DataList>(data.list, context));
    case DataValue::Kind::dict:
      return Value::of(Kind::dict, make_ref<DataDict>(data.dict, context));
  }
  return Value::none();
}

Value DataDict::key_at(size_t index) const {
  const std::string& key = members_[index].first;
  return Value::string(make_ref<TextBuffer>(key, context_.is_input), 0, key.size());
}

Value DataDict::value_at(size_t index) const { return wrap_data(members_[index].second, context_); }

Value DataDict::find(Budget& budget, const Value& key) const {
  if (!key.is_string()) {
    hash_of(budget, key);
    return {};
  }
  budget.step_items(members_.size());
  const std::string_view name = key.bytes();
  for (const DataValue::Member& member : members_) {
    if (member.first == name) return wrap_data(member.second, context_);
  }
  return {};
}

namespace {
constexpr size_t kIndexedSize = 16;        // below, a linear search is cheaper than an index
constexpr uint64_t kIndexEntryBytes = 64;  // a node of unordered_multimap, rounded up
}  // namespace

size_t DictObject::index_of(Budget& budget, const Value& key, uint64_t hash) const {
  if (members_.size() < kIndexedSize) {
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].hash == hash && equal(budget, members_[i].key, key)) return i;
    }
    return members_.size();
  }
  const auto [first, last] = index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    budget.step();
    if (equal(budget, members_[it->second].key, key)) return it->second;
  }
  return members_.size();
}

void DictObject::set(Budget& budget, const Value& key, Value value) {
  const uint64_t hash = hash_of(budget, key);
  const size_t found = index_of(budget, key, hash);
  depth_ = depth_above(budget, depth_above(budget, depth_, key), value);
  if (found < members_.size()) {
    members_[found].value = std::move(value);
    return;
  }
  charge(2 * sizeof(Member) + kIndexEntryBytes);
  members_.push_back({key, std::move(value), hash});
  if (members_.size() < kIndexedSize) return;
  for (size_t i = index_.size(); i < members_.size(); ++i) index_.emplace(members_[i].hash, i);
}

void DictObject::clear() noexcept {
  members_.clear();
  index_.clear();
}

Value DictObject::find(Budget& budget, const Value& key) const {
  const size_t found = index_of(budget, key, hash_of(budget, key));
  return found < members_.size() ? members_[found].value : Value();
}

Generator::Generator(Budget& budget, std::vector<Value> items, const char* name)
    : Object(&budget.heap, sizeof(Generator) + items.capacity() * sizeof(Value)),
      items_(std::move(items)),
      name_(name) {}

Value make_list(Budget& budget, std::vector<Value> items) {
  return Value::of(Kind::list, make_ref<ListObject>(budget, std::move(items)));
}

Value make_tuple(Budget& budget, std::vector<Value> items) {
  return Value::of(Kind::tuple, make_ref<ListObject>(budget, std::move(items)));
}

Value make_generator(Budget& budget, std::vector<Value> items, const char* name) {
  return Value::of(Kind::generator, make_ref<Generator>(budget, std::move(items), name));
}

}  // namespace larder::formats::jinja
