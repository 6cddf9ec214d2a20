#!/usr/bin/env python3
"""Decoding in less memory than the model takes: larder, and llama.cpp beside it, each in a memory
cgroup (v1) whose limit is the budget, with a cold page cache.

  LLAMA_PYTHON=.../bin/python paging.py -m FILE --larder build/release/apps/larder

Needs root, for the cgroup and for dropping caches. LLAMA_PYTHON is an interpreter that has
llama_cpp; without it larder runs alone. A round is, in turn: larder with the file mapped and no
limit, then for every budget larder and llama.cpp; a machine that slows down slows them all. Larder
decodes every prompt of a run behind a first one, which fills its experts; llama.cpp has
--llama-seconds a budget, loading included, and the tokens that it made in them count, however few.
--samples FILE keeps what was measured, a line of JSON each; a later run on the same file adds to
it, and the table is made of all, so that a long comparison can be had in short pieces.

Of each budget, medians over all runs: tokens a second (and the slowest and the fastest prompt);
MB read a token; the rate of the disk that the same run probed, and what reads reached; ms a token
that computing stood still for reads, and the rest of a token's time; what the bound
1 / max(time of a token with the file mapped, bytes read / probed rate) allows and the share of it
that was reached; the share of the mapped speed; the cgroup's peak, its OOM kills, major faults
while measuring.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

CGROUPS = '/sys/fs/cgroup/memory'


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-m', '--model', required=True)
    parser.add_argument('--larder', default='build/release/apps/larder')
    parser.add_argument('--budgets', default='3G,2G,1500M,1200M')
    parser.add_argument('-n', '--n-gen', type=int, default=256)
    parser.add_argument('--prompts', type=int, default=3)
    parser.add_argument('-t', '--threads', type=int, default=os.cpu_count())
    parser.add_argument('-r', '--rounds', type=int, default=1)
    parser.add_argument('--llama-seconds', type=float, default=60)
    parser.add_argument('--no-mapped', action='store_true')
    parser.add_argument('--samples')
    return parser.parse_args()


def bytes_of(size):
    units = {'K': 10, 'M': 20, 'G': 30}
    return int(size[:-1]) << units[size[-1]] if size[-1] in units else int(size)


class Cgroup:
    """A memory cgroup with this limit, gone behind the with-block."""

    def __init__(self, limit_bytes):
        self.path = os.path.join(CGROUPS, f'paging-{os.getpid()}')
        self.limit_bytes = limit_bytes

    def __enter__(self):
        os.mkdir(self.path)
        self.write('memory.limit_in_bytes', self.limit_bytes)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.write('memory.force_empty', 0)
        for _ in range(50):
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                return
            time.sleep(0.1)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name)) as file:
            return file.read()

    def join(self):
        self.write('cgroup.procs', os.getpid())

    def peak_bytes(self):
        return int(self.read('memory.max_usage_in_bytes'))

    def oom_kills(self):
        return int(self.read('memory.oom_control').split('oom_kill ')[1].split()[0])


def drop_caches():
    os.sync()
    with open('/proc/sys/vm/drop_caches', 'w') as file:
        file.write('3')


def larder_command(options, *more):
    return [options.larder, 'bench', '-m', options.model, '-p', '0', '-n', str(options.n_gen), '-r',
            str(options.prompts), '-t', str(options.threads), '--json', '-q', *more]


def measurement_of(run):
    if run.returncode != 0:
        return {'error': f'exit {run.returncode}: {run.stderr.strip()[-200:]}'}
    result = json.loads(run.stdout)
    decode = next(m for m in result['measurements'] if m['way'] == 'decode')
    sample = {'tokens_per_s': decode['n_tokens'] / statistics.median(decode['seconds']),
              'prompts': [decode['n_tokens'] / s for s in decode['seconds']],
              'major_faults': result['major_faults']['measuring']}
    experts = decode['experts']
    if experts:
        sample |= {key: experts[key] for key in ('bytes_per_token', 'probe_bytes_per_s',
                                                 'disk_bytes_per_s', 'hit_rate', 'reader',
                                                 'n_lanes')}
        sample['wait_ms'] = 1e3 * experts['wait_s'] / experts['n_tokens']
    return sample


def run_mapped(options):
    return measurement_of(subprocess.run(larder_command(options), capture_output=True, text=True))


def run_larder(options, budget):
    drop_caches()
    with Cgroup(bytes_of(budget)) as cgroup:
        run = subprocess.run(larder_command(options, '--ram', budget), capture_output=True,
                             text=True, preexec_fn=cgroup.join)
        return measurement_of(run) | {'peak_bytes': cgroup.peak_bytes(),
                                      'oom_kills': cgroup.oom_kills()}


def run_llama(options, budget):
    """Tokens a second behind the first token, as far as the time allowed."""
    drop_caches()
    with Cgroup(bytes_of(budget)) as cgroup:
        child = subprocess.Popen(
            [os.environ['LLAMA_PYTHON'], __file__, '--decode-with-llama', options.model,
             str(options.n_gen), str(options.threads)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=cgroup.join)
        begin = time.monotonic()
        os.set_blocking(child.stdout.fileno(), False)
        times = []
        while child.poll() is None and time.monotonic() - begin < options.llama_seconds:
            text = child.stdout.read() or b''
            times += [float(line) for line in text.split()]
            time.sleep(0.05)
        ended = child.poll() is not None
        if not ended:
            child.kill()
        child.wait()
        times += [float(line) for line in (child.stdout.read() or b'').split()]
        sample = {'peak_bytes': cgroup.peak_bytes(), 'oom_kills': cgroup.oom_kills()}
        # A last token that did not come in time has taken at least as long as was waited for it.
        end = times[-1] if ended and times else time.monotonic()
        if not times:
            return sample | {'error': f'no token in {time.monotonic() - begin:.0f} s'}
        made = len(times) - 1 if ended else len(times)
        return sample | {'tokens_per_s': made / (end - times[0]), 'n_tokens': len(times)}


def decode_with_llama(model, n_tokens, n_threads):
    """Prints when each token was there; monotonic clocks are the same in all processes."""
    import ctypes
    import random
    import llama_cpp as llama
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    llama.llama_backend_init()
    of_model = llama.llama_model_default_params()
    if hasattr(of_model, 'use_extra_bufts'):
        of_model.use_extra_bufts = False  # weights repacked would be anonymous memory
    loaded = llama.llama_model_load_from_file(model.encode(), of_model)
    of_context = llama.llama_context_default_params()
    of_context.n_ctx = n_tokens + 16
    of_context.n_threads = of_context.n_threads_batch = n_threads
    context = llama.llama_init_from_model(loaded, of_context)
    n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(loaded))
    random.seed(1)
    for _ in range(n_tokens):
        token = (llama.llama_token * 1)(random.randrange(n_vocab))
        if llama.llama_decode(context, llama.llama_batch_get_one(token, 1)) != 0:
            sys.exit(1)
        llama.llama_synchronize(context)
        print(time.monotonic(), flush=True)


def run_rounds(options, keep):
    for _ in range(options.rounds):
        if not options.no_mapped:
            keep({'tool': 'larder', 'budget': 'mapped', **run_mapped(options)})
        for budget in options.budgets.split(','):
            keep({'tool': 'larder', 'budget': budget, **run_larder(options, budget)})
            if 'LLAMA_PYTHON' in os.environ and options.llama_seconds > 0:
                keep({'tool': 'llama.cpp', 'budget': budget, **run_llama(options, budget)})


def median_of(samples, key):
    values = [s[key] for s in samples if key in s]
    return statistics.median(values) if values else None


def print_table(samples):
    def of(tool, budget):
        return [s for s in samples if s['tool'] == tool and s['budget'] == budget]

    for sample in samples:
        if 'error' in sample:
            print(f"{sample['tool']} at {sample['budget']}: {sample['error']}")
    mapped = median_of(of('larder', 'mapped'), 'tokens_per_s')
    if mapped:
        print(f'mapped: {mapped:.1f} tok/s')
    print(f"{'':7} {'tok/s':>6} {'(min - max)':>13} {'MB':>6} {'probe':>5} {'disk':>5} {'stall':>6} "
          f"{'rest':>6} {'bound':>6} {'of it':>6} {'mapped':>6} {'peak':>7} {'oom':>3} {'maj':>3} "
          f"{'llama.cpp':>9} {'ratio':>6}")
    budgets = dict.fromkeys(s['budget'] for s in samples if s['budget'] != 'mapped')
    for budget in budgets:
        runs = [s for s in of('larder', budget) if 'bytes_per_token' in s]
        if not runs:
            continue
        speed, wait = median_of(runs, 'tokens_per_s'), median_of(runs, 'wait_ms')
        n_bytes, probe = median_of(runs, 'bytes_per_token'), median_of(runs, 'probe_bytes_per_s')
        prompts = [speed for run in runs for speed in run['prompts']]
        bound = 1 / max(1 / mapped, n_bytes / probe) if mapped and probe else float('nan')
        llama = median_of(of('llama.cpp', budget), 'tokens_per_s')
        print(f"{budget:7} {speed:6.1f} ({min(prompts):5.1f} - {max(prompts):5.1f}) "
              f"{n_bytes / 1e6:6.1f} {probe / 1e9:5.2f} "
              f"{median_of(runs, 'disk_bytes_per_s') / 1e9:5.2f} {wait:6.2f} "
              f"{1e3 / speed - wait:6.2f} {bound:6.1f} {100 * speed / bound:4.0f} % "
              f"{100 * speed / mapped if mapped else float('nan'):4.0f} % "
              f"{max(s['peak_bytes'] for s in runs) / (1 << 20):6.0f}M "
              f"{sum(s['oom_kills'] for s in runs):3} {max(s['major_faults'] for s in runs):3} "
              + (f'{llama:9.2f} {speed / llama:5.1f}x' if llama else f"{'-':>9} {'-':>6}"))


def main():
    if sys.argv[1:2] == ['--decode-with-llama']:
        return decode_with_llama(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    options = parse_arguments()
    if not os.path.isdir(CGROUPS):
        sys.exit(f'no {CGROUPS}: this needs the memory controller of cgroup v1')
    samples = []
    if options.samples and os.path.exists(options.samples):
        with open(options.samples) as file:
            samples = [json.loads(line) for line in file]

    def keep(sample):
        samples.append(sample)
        if options.samples:
            with open(options.samples, 'a') as file:
                file.write(json.dumps(sample) + '\n')

    run_rounds(options, keep)
    print_table(samples)


if __name__ == '__main__':
    main()
