#include "runtime/session/kept_use.h"

#include <utility>
#include <vector>

namespace larder::runtime {

void KeptUse::load(const std::string& folder, const formats::GgufFile& model,
                   std::shared_ptr<ExpertStore> experts) {
  const ExpertForecast* forecast = experts ? experts->forecast() : nullptr;
  if (forecast == nullptr || folder.empty()) return;
  const auto fingerprint = fingerprint_of(model);
  if (!fingerprint) return;
  model_ = *fingerprint;
  path_ = folder + "/experts-" + model_.name();
  experts_ = std::move(experts);
  const auto profile = read_expert_profile(path_, model_, forecast->n_experts());
  if (profile) {
    experts_->import_use(profile->use, profile->n_tokens);
  } else if (profile.status().cause() != Cause::io) {  // which a missing file is, too
    note_ = profile.status().to_string();
  }
}

void KeptUse::save() const noexcept {
  if (!experts_) return;
  try {
    const PassTurns::Turn turn = experts_->turns().take();
    const ExpertForecast& forecast = *experts_->forecast();
    ExpertProfile profile = {0, std::vector<float>(forecast.n_experts())};
    profile.n_tokens = forecast.export_use(profile.use);
    if (profile.n_tokens > 0) (void)write_expert_profile(path_, model_, profile);
  } catch (...) {
  }
}

}  // namespace larder::runtime
