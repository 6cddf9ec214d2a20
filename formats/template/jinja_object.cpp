#include "formats/template/jinja_object.h"

namespace larder::formats::jinja {

void CyclicRegistry::break_cycles() noexcept {
  while (live_ != nullptr) {
    const Ref<Cyclic> kept(live_);
    kept->unlink(live_);
    kept->clear();
  }
}

Cyclic::Cyclic(CyclicRegistry& registry, Meter* meter, uint64_t n_bytes)
    : Object(meter, n_bytes), registry_(registry) {
  link(registry_.live_);
}

void Cyclic::link(Cyclic*& list) noexcept {
  previous_ = nullptr;
  next_ = list;
  if (list != nullptr) list->previous_ = this;
  list = this;
}

// Harmless when already unlinked.
void Cyclic::unlink(Cyclic*& list) noexcept {
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (list == this) list = next_;
  previous_ = next_ = nullptr;
}

void Cyclic::dispose() noexcept {
  CyclicRegistry& registry = registry_;
  unlink(registry.live_);
  link(registry.dead_);
  if (registry.is_draining_) return;
  registry.is_draining_ = true;
  while (registry.dead_ != nullptr) {
    Cyclic* doomed = registry.dead_;
    doomed->unlink(registry.dead_);
    delete doomed;
  }
  registry.is_draining_ = false;
}

}  // namespace larder::formats::jinja
