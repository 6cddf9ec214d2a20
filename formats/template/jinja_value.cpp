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
