"""Runs lm-evaluation-harness with larder as its model over the tasks that the harness's own Hugging
Face backend was run over, and compares the accuracies: lm_eval_example.py PROGRAM SHARED_DIR WORK_DIR
"""

import collections
import json
import sys
from pathlib import Path

import lm_eval_larder  # registers the model
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

CHOICES = """task: larder_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
target_delimiter: " "
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""

CONTINUATION = """task: larder_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{continuation}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}, {{metric: perplexity}}]
"""

# Near-ties may fall either way: items that may differ in a task.
TOLERATED_ITEMS = 1


def write_tasks(goldens: Path, folder: Path) -> list[str]:
    """The items of the goldens as tasks; answers their names."""
    docs = collections.defaultdict(dict)
    with open(goldens / "loglikelihood.jsonl", encoding="utf-8") as file:
        for record in map(json.loads, file):
            task, item, *choice = record["id"].split(".")
            if task == "lambada_openai":
                docs[task][item] = {k: record[k] for k in ("context", "continuation")}
            elif choice:
                doc = docs[task].setdefault(
                    item, {"context": record["context"], "choices": [], "gold": record["gold"]}
                )
                doc["choices"].append(record["continuation"].removeprefix(" "))
    for name, items in docs.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(doc) + "\n" for doc in items.values()), "utf-8")
        text = CONTINUATION if name == "lambada_openai" else CHOICES
        (folder / f"{name}.yaml").write_text(text.format(name=name, file=data), "utf-8")
    return list(docs)


def main() -> int:
    program, shared, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    goldens = shared / "goldens" / "scores"
    model = shared / "weights" / "storyteller" / "storyteller-f16.gguf"
    tasks = work / "tasks"
    tasks.mkdir(parents=True, exist_ok=True)
    names = write_tasks(goldens, tasks)
    results = simple_evaluate(
        model="larder",
        model_args={"model": str(model), "program": program, "exact": True},
        tasks=[f"larder_{name}" for name in names],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )["results"]
    expected = json.loads((goldens / "accuracy.json").read_text("utf-8"))
    n_wrong = 0
    for name in names:
        for metric, key in (("acc", "acc"), ("acc_norm", "acc_norm (per character)")):
            if key not in expected[name]:
                continue
            got, want = results[f"larder_{name}"][f"{metric},none"], expected[name][key]
            items = expected[name]["items"]
            is_close = abs(got - want) * items <= TOLERATED_ITEMS + 1e-6
            n_wrong += not is_close
            mark = "" if is_close else "  <-- differs"
            print(f"{name:16} {metric:9} larder {got:.4f}  harness {want:.4f}  ({items}){mark}")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
