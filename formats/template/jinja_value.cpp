#include "formats/template/jinja_value.h"

#include <array>

#include "formats/template/jinja_operators.h"
#include "formats/template/python_str.h"
#include "formats/text/unicode.h"

namespace larder::formats::jinja {

Value Value::none() {
  Value value;
  value.kind_ = Kind::none;
  return value;
}

Value Value::boolean(bool boolean) {
  Value value;
  value.kind_ = Kind::boolean;
  value.data_.boolean = boolean;
  return value;
}

Value Value::integer(int64_t integer) {
  Value value;
  value.kind_ = Kind::integer;
  value.data_.integer = integer;
  return value;
}

Value Value::real(double real) {
  Value value;
  value.kind_ = Kind::real;
  value.data_.real = real;
  return value;
}

Value Value::string(Ref<TextBuffer> buffer, size_t begin, size_t end) {
  if (end > UINT32_MAX) fail_limit("a string of 4 GiB or more");
  Value value;
  value.kind_ = Kind::string;
  value.object_ = std::move(buffer);
  value.begin_ = static_cast<uint32_t>(begin);
  value.data_.length = end - begin;
  return value;
}

Value Value::literal(std::string_view permanent) {
  return string(make_ref<TextBuffer>(permanent, false), 0, permanent.size());
}

Value Value::of(Kind kind, Ref<Object> object, uint32_t detail) {
  Value value;
  value.kind_ = kind;
  value.object_ = std::move(object);
  value.begin_ = detail;
  return value;
}

// The name's text travels in object_ and data_; strings it is a view of begin at their buffer's
// start in all but rare cases, which lose only the wording of the message.
Value Value::undefined(UndefinedReason reason, const Value& name, Kind owner) {
  Value value;
  value.kind_ = Kind::undefined;
  value.begin_ = static_cast<uint32_t>(reason);
  value.owner_ = owner;
  if (name.is_string() && name.begin() == 0) {
    value.object_ = name.object_;
    value.data_.length = name.data_.length;
  }
  return value;
}

std::string Value::undefined_message() const {
  std::string name;
  if (object_) name = buffer().bytes().substr(0, data_.length);
  const std::string owner = std::string(type_name(owner_)) + " object";
  switch (reason()) {
    case UndefinedReason::variable:
      return joined("'", name, "' is undefined");
    case UndefinedReason::attribute:
      return joined("'", owner, "' has no attribute '", name, "'");
    case UndefinedReason::element:
      return owner + " has no such element";
    case UndefinedReason::unsafe:
      return "access to attribute '" + name + "' of '" + owner + "' is unsafe";
    case UndefinedReason::hint:
      break;
  }
  return name;
}

std::string_view Value::bytes() const noexcept {
  return buffer().bytes().substr(begin_, data_.length);
}

Value Value::slice(size_t begin, size_t end) const {
  Value part = *this;
  part.begin_ = static_cast<uint32_t>(begin_ + begin);
  part.data_.length = end - begin;
  return part;
}

Value Value::with_markup(bool is_markup) const {
  Value value = *this;
  value.is_markup_ = is_markup;
  return value;
}

const Sequence& Value::sequence() const noexcept { return object<Sequence>(); }
const Dict& Value::dict() const noexcept { return object<Dict>(); }

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

bool is_iterable(const Value& value) noexcept {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::dict_view:
    case Kind::range:
    case Kind::generator:
      return true;
    default:
      return false;
  }
}

Cursor::Cursor(Budget& budget, Value iterable) : budget_(&budget), iterable_(std::move(iterable)) {
  if (!is_iterable(iterable_)) {
    fail(joined("'", type_name(iterable_), "' object is not iterable"));
  }
}

size_t Cursor::size() const { return length_of(*budget_, iterable_); }

Value Cursor::next() {
  switch (iterable_.kind()) {
    case Kind::string: {
      if (position_ >= iterable_.size_bytes()) return {};
      const size_t begin = position_;
      position_ += decode_utf8(iterable_.bytes(), begin).n_bytes;
      return iterable_.slice(begin, position_).with_markup(false);
    }
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return position_ < iterable_.sequence().size() ? iterable_.sequence().at(position_++)
                                                     : Value();
    case Kind::dict:
    case Kind::dict_view: {
      const Dict& dict = iterable_.dict();
      if (position_ >= dict.size()) return {};
      const size_t i = position_++;
      const auto view =
          iterable_.is(Kind::dict) ? DictViewKind::keys : DictViewKind{iterable_.detail()};
      if (view == DictViewKind::keys) return dict.key_at(i);
      if (view == DictViewKind::values) return dict.value_at(i);
      return make_tuple(*budget_, {dict.key_at(i), dict.value_at(i)});
    }
    case Kind::generator:
      return iterable_.object<Generator>().next();
    default:
      return {};
  }
}

std::vector<Value> to_vector(Budget& budget, const Value& iterable) {
  Cursor cursor(budget, iterable);
  std::vector<Value> items;
  // The vector is charged when it becomes a list; until then the meter holds what it grew to.
  struct Held {
    Meter& heap;
    uint64_t n = 0;
    ~Held() { heap.release(n); }
  } held{budget.heap};
  for (Value item = cursor.next(); !item.is_missing(); item = cursor.next()) {
    if (items.size() == items.capacity()) {
      const size_t capacity = std::max<size_t>(4, items.capacity() * 2);
      const uint64_t grown = (capacity - items.capacity()) * sizeof(Value);
      budget.heap.charge(grown);
      held.n += grown;
      items.reserve(capacity);
    }
    if (items.size() % 8 == 0) budget.step();
    items.push_back(std::move(item));
  }
  return items;
}

size_t length_of(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      budget.step_bytes(value.size_bytes());
      return count_code_points(value.bytes());
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return value.sequence().size();
    case Kind::dict:
    case Kind::dict_view:
      return value.dict().size();
    default:
      fail("object of type '" + std::string(type_name(value)) + "' has no len()");
  }
}

bool truth(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_integer() != 0;
    case Kind::real:
      return value.as_real() != 0;
    case Kind::string:
      return value.size_bytes() != 0;
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict:
    case Kind::dict_view:
      return length_of(budget, value) != 0;
    default:
      return true;
  }
}

std::string_view type_name(Kind kind) noexcept {
  static constexpr std::array<std::string_view, 20> kNames = {
      "missing", "Undefined", "NoneType", "bool",        "int",    "float",     "str",
      "list",    "tuple",     "dict",     "dict view",   "range",  "generator", "Namespace",
      "Macro",   "function",  "method",   "LoopContext", "Cycler", "Joiner"};
  static_assert(kNames.size() == static_cast<size_t>(Kind::joiner) + 1);
  return kNames[static_cast<size_t>(kind)];
}

std::string_view type_name(const Value& value) noexcept { return type_name(value.kind()); }

void TextBuilder::append_code_point(uint32_t code_point, bool is_input) {
  std::string bytes;
  append_utf8(bytes, code_point);
  append(bytes, is_input);
}

void TextBuilder::fill(std::string_view unit, size_t count, bool is_input) {
  if (unit.empty() || count == 0) return;
  if (count > UINT32_MAX / unit.size()) fail_limit("a string of 4 GiB or more");
  buffer_->reserve(buffer_->size() + unit.size() * count);
  budget_.step_bytes(unit.size() * count);
  for (size_t i = 0; i < count; ++i) buffer_->append(unit, is_input);
}

Value make_string(Budget& budget, std::string_view bytes, bool is_input) {
  TextBuilder builder(budget);
  builder.append(bytes, is_input);
  return builder.finish();
}

}  // namespace larder::formats::jinja
