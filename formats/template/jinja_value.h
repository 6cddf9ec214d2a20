// The evaluator's own value, with Python's types as far as templates can see them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/template/jinja_object.h"
#include "formats/template/jinja_text.h"
#include "formats/template/value.h"

namespace larder::formats::jinja {

enum class Kind : uint8_t {
  missing,  // no value at all: an argument that was not given; templates never see it
  undefined,
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  dict,
  dict_view,  // keys(), values(), items()
  range,
  generator,  // may be walked once
  name_space,
  macro,
  function,  // a global
  method,    // bound to its object
  loop,
  cycler,
  joiner
};

class Value;
class Sequence;
class Dict;

// Why a value is undefined, for the message that its use raises.
enum class UndefinedReason : uint32_t { variable, attribute, element, unsafe, hint };

class Value {
 public:
  Value() = default;
  static Value none();
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  static Value string(Ref<TextBuffer> buffer, size_t begin, size_t end);
  static Value literal(std::string_view permanent);  // not copied
  static Value undefined(UndefinedReason reason, const Value& name, Kind owner = Kind::missing);
  static Value of(Kind kind, Ref<Object> object, uint32_t detail = 0);

  Kind kind() const noexcept { return kind_; }
  bool is(Kind kind) const noexcept { return kind_ == kind; }
  bool is_missing() const noexcept { return kind_ == Kind::missing; }
  bool is_undefined() const noexcept { return kind_ == Kind::undefined; }
  bool is_none() const noexcept { return kind_ == Kind::none; }
  bool is_string() const noexcept { return kind_ == Kind::string; }
  bool is_integral() const noexcept { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const noexcept { return is_integral() || kind_ == Kind::real; }

  bool as_bool() const noexcept { return data_.boolean; }
  int64_t as_integer() const noexcept {  // REQUIRES: is_integral()
    return kind_ == Kind::boolean ? int64_t{data_.boolean} : data_.integer;
  }
  double as_real() const noexcept {  // REQUIRES: is_number()
    return kind_ == Kind::real ? data_.real : static_cast<double>(as_integer());
  }
  uint32_t detail() const noexcept { return begin_; }

  // Strings. Markup (what |safe and |escape give) escapes what is added to it.
  std::string_view bytes() const noexcept;
  const TextBuffer& buffer() const noexcept { return *static_cast<const TextBuffer*>(raw()); }
  size_t begin() const noexcept { return begin_; }
  size_t end() const noexcept { return begin_ + data_.length; }
  size_t size_bytes() const noexcept { return data_.length; }
  Value slice(size_t begin, size_t end) const;  // bytes of this view; keeps markup
  bool has_input() const { return buffer().has_input(begin(), end()); }
  bool is_markup() const noexcept { return is_markup_; }
  Value with_markup(bool is_markup) const;

  template <class T>
  T& object() const noexcept {
    return *static_cast<T*>(raw());
  }
  const Ref<Object>& object_ref() const noexcept { return object_; }
  const Sequence& sequence() const noexcept;
  const Dict& dict() const noexcept;

  // Undefined values.
  UndefinedReason reason() const noexcept { return UndefinedReason{begin_}; }
  std::string undefined_message() const;

 private:
  Object* raw() const noexcept { return object_.get(); }

  Kind kind_ = Kind::missing;
  bool is_markup_ = false;
  Kind owner_ = Kind::missing;  // of an undefined attribute
  uint32_t begin_ = 0;
  Ref<Object> object_;
  union Data {
    bool boolean;
    int64_t integer;
    double real;
    uint64_t length;
  } data_ = {.integer = 0};
};

// Lists and tuples never change, so they cannot hold themselves.
class Sequence : public Object {
 public:
  using Object::Object;
  virtual size_t size() const noexcept = 0;
  virtual Value at(size_t index) const = 0;
  virtual int depth() const noexcept = 0;
};

class ListObject final : public Sequence {
 public:
  ListObject(Budget& budget, std::vector<Value> items);
  size_t size() const noexcept override { return items_.size(); }
  Value at(size_t index) const override { return items_[index]; }
  int depth() const noexcept override { return depth_; }

 private:
  std::vector<Value> items_;
  int depth_;
};

class Range final : public Sequence {
 public:
  Range(Budget& budget, int64_t start, int64_t stop, int64_t step);
  size_t size() const noexcept override { return size_; }
  Value at(size_t index) const override {
    return Value::integer(start + static_cast<int64_t>(index) * step);
  }
  int depth() const noexcept override { return 1; }

  const int64_t start, stop, step;

 private:
  size_t size_;
};

// What a variable holds, read in place.
struct DataContext {
  bool is_input;
  int depth;  // of all variables together
};
Value wrap_data(const DataValue& data, DataContext context);

class DataList final : public Sequence {
 public:
  DataList(const std::vector<DataValue>& items, DataContext context)
      : items_(items), context_(context) {}
  size_t size() const noexcept override { return items_.size(); }
  Value at(size_t index) const override { return wrap_data(items_[index], context_); }
  int depth() const noexcept override { return context_.depth; }

 private:
  const std::vector<DataValue>& items_;
  DataContext context_;
};

class Dict : public Object {
 public:
  using Object::Object;
  virtual size_t size() const noexcept = 0;
  virtual Value key_at(size_t index) const = 0;
  virtual Value value_at(size_t index) const = 0;
  virtual Value find(Budget& budget, const Value& key) const = 0;  // missing if absent
  virtual int depth() const noexcept = 0;
};

class DataDict final : public Dict {
 public:
  DataDict(const std::vector<DataValue::Member>& members, DataContext context)
      : members_(members), context_(context) {}
  size_t size() const noexcept override { return members_.size(); }
  Value key_at(size_t index) const override;
  Value value_at(size_t index) const override;
  Value find(Budget& budget, const Value& key) const override;
  int depth() const noexcept override { return context_.depth; }

 private:
  const std::vector<DataValue::Member>& members_;
  DataContext context_;
};

// Keeps insertion order. Changed only while it is built, or as a namespace's attributes.
class DictObject final : public Dict {
 public:
  explicit DictObject(Budget& budget) : Dict(&budget.heap, sizeof(DictObject)) {}
  void set(Budget& budget, const Value& key, Value value);
  void clear() noexcept;
  size_t size() const noexcept override { return members_.size(); }
  Value key_at(size_t index) const override { return members_[index].key; }
  Value value_at(size_t index) const override { return members_[index].value; }
  Value find(Budget& budget, const Value& key) const override;
  int depth() const noexcept override { return depth_; }

 private:
  struct Member {
    Value key, value;
    uint64_t hash;
  };
  size_t index_of(Budget& budget, const Value& key, uint64_t hash) const;

  std::vector<Member> members_;
  std::unordered_multimap<uint64_t, size_t> index_;  // filled from kIndexedSize members on
  int depth_ = 1;
};

enum class DictViewKind : uint32_t { keys, values, items };  // Value::detail() of a dict_view

class Generator final : public Object {
 public:
  Generator(Budget& budget, std::vector<Value> items, const char* name);
  Value next() { return next_ < items_.size() ? std::move(items_[next_++]) : Value(); }
  const char* name() const noexcept { return name_; }

 private:
  std::vector<Value> items_;
  size_t next_ = 0;
  const char* name_;
};

class Namespace final : public Cyclic {
 public:
  Namespace(CyclicRegistry& registry, Budget& budget)
      : Cyclic(registry, &budget.heap, sizeof(Namespace)),
        attributes(make_ref<DictObject>(budget)) {}
  void clear() noexcept override { attributes->clear(); }
  Ref<DictObject> attributes;
};

Value make_list(Budget& budget, std::vector<Value> items);
Value make_tuple(Budget& budget, std::vector<Value> items);
Value make_generator(Budget& budget, std::vector<Value> items, const char* name);

// Walks anything iterable, as Python's iter() does. Fails for what is not.
class Cursor {
 public:
  Cursor(Budget& budget, Value iterable);
  Value next();  // missing at the end
  bool has_size() const noexcept { return !iterable_.is(Kind::generator); }
  size_t size() const;  // REQUIRES: has_size()

 private:
  Budget* budget_;
  Value iterable_;
  size_t position_ = 0;  // an index; a byte offset in strings
};

bool is_iterable(const Value& value) noexcept;
std::vector<Value> to_vector(Budget& budget, const Value& iterable);

// len(); fails for what has none.
size_t length_of(Budget& budget, const Value& value);
bool truth(Budget& budget, const Value& value);

std::string_view type_name(Kind kind) noexcept;  // as Python's type(x).__name__
std::string_view type_name(const Value& value) noexcept;

// Strings under construction, charged as they grow.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget)
      : budget_(budget), buffer_(make_ref<TextBuffer>(&budget.heap)) {}
  void append(std::string_view bytes, bool is_input = false) {
    budget_.step_bytes(bytes.size());
    buffer_->append(bytes, is_input);
  }
  void append(const Value& string) {
    budget_.step_bytes(string.size_bytes());
    buffer_->append(string.buffer(), string.begin(), string.end());
  }
  void append_code_point(uint32_t code_point, bool is_input);
  void fill(std::string_view unit, size_t count, bool is_input = false);
  size_t size() const noexcept { return buffer_->size(); }
  Value finish() { return Value::string(buffer_, 0, buffer_->size()); }

 private:
  Budget& budget_;
  Ref<TextBuffer> buffer_;
};

Value make_string(Budget& budget, std::string_view bytes, bool is_input = false);

}  // namespace larder::formats::jinja
