#!/usr/bin/env python3
"""larder beside its peers on one file: every tool once a round, in turn, so that a machine that
slows down slows them all. Prints medians, their spread, and larder's ratio to each peer.

  LLAMA_BENCH=.../llama-bench IK_LLAMA_BENCH=.../llama-bench compare.py -m FILE --larder build/release/apps/larder

LLAMA_BENCH is llama.cpp's llama-bench, IK_LLAMA_BENCH ik_llama.cpp's; one that is not set is left
out. ik_llama.cpp runs twice, the second time with its weights repacked at load, unless --no-repack.
Every tool does each piece of work once unmeasured, so that no page of the file is met for the first
time, and waits before that: while the system takes back gigabytes that the tool before it had (the
repacked weights), what runs is up to a fifth slower. ik_llama.cpp's llama-bench measures no prefill
behind a context: there is a - in its place.
--samples FILE keeps what was measured, a line of JSON each; a later run on the same file adds to it,
and the table is made of all, so that a long comparison can be had in short pieces.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

LARDER = 'larder'


def numbers(text):
    return [int(item) for item in text.split(',')]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-m', '--model', required=True)
    parser.add_argument('--larder', default='build/release/apps/larder')
    parser.add_argument('-p', '--n-prompt', type=int, default=512)
    parser.add_argument('-n', '--n-gen', type=int, default=128)
    parser.add_argument('-d', '--depths', type=numbers, default=[0])
    parser.add_argument('-t', '--threads', type=numbers, default=[os.cpu_count()])
    parser.add_argument('-r', '--rounds', type=int, default=5)
    parser.add_argument('--isa', help="larder's instruction set")
    parser.add_argument('--no-repack', action='store_true')
    parser.add_argument('--pause', type=float, default=8, help='seconds before each run')
    parser.add_argument('--samples')
    return parser.parse_args()


def output_of(command):
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.stderr.write(f'{command[0]}: exit {run.returncode}: {run.stderr[-300:]}\n')
        return None
    return run.stdout


def larder(options, threads, depth):
    command = [options.larder, 'bench', '-m', options.model, '-p', options.n_prompt, '-n',
               options.n_gen, '-d', depth, '-t', threads, '-r', 1, '--json', '-q']
    if options.isa:
        command += ['--isa', options.isa]
    text = output_of([str(part) for part in command])
    if text is None:
        return
    result = json.loads(text)
    for m in result['measurements']:
        seconds = m['seconds'][0] - m['sampling_seconds']  # the peers' programs do not sample
        yield {'what': m['way'], 'tokens_per_s': m['n_tokens'] / seconds,
               'limits': result['limits']['mean'], 'bytes_per_s': (m['bytes'] or 0) / seconds,
               'ops_per_s': m['ops'] / seconds}


def last_sample(test):
    """Tokens a second of the last repetition; those of the prompt count where it was measured."""
    n_tokens = test['n_gen'] or test['n_prompt']
    return n_tokens / (test['samples_ns'][-1] * 1e-9)


def llama_bench(options, program, arguments):
    command = [program, '-m', options.model, '-r', 2, '-o', 'json'] + arguments
    text = output_of([str(part) for part in command])
    if text is None:
        return
    for test in json.loads(text[text.index('['):]):
        what = 'decode' if test['n_gen'] else 'prefill'
        yield {'what': what, 'tokens_per_s': last_sample(test)}


def llama_cpp(program):
    def run(options, threads, depth):
        return llama_bench(options, program, ['-p', options.n_prompt, '-n', options.n_gen, '-d',
                                              depth, '-t', threads])
    return run


def ik_llama_cpp(program, repacks):
    def run(options, threads, depth):
        work = (['-p', 0, '-n', 0, '-gp', f'{depth},{options.n_gen}'] if depth else
                ['-p', options.n_prompt, '-n', options.n_gen])
        return llama_bench(options, program, work + ['-t', threads, '-rtr', int(repacks)])
    return run


def tools_of(options):
    tools = {LARDER: larder}
    if 'LLAMA_BENCH' in os.environ:
        tools['llama.cpp'] = llama_cpp(os.environ['LLAMA_BENCH'])
    if 'IK_LLAMA_BENCH' in os.environ:
        tools['ik_llama.cpp'] = ik_llama_cpp(os.environ['IK_LLAMA_BENCH'], False)
        if not options.no_repack:
            tools['ik, repacked'] = ik_llama_cpp(os.environ['IK_LLAMA_BENCH'], True)
    return tools


def run_rounds(options, tools, keep):
    for _ in range(options.rounds):
        for threads in options.threads:
            for depth in options.depths:
                for tool, run in tools.items():
                    time.sleep(options.pause)
                    for sample in run(options, threads, depth):
                        keep({'tool': tool, 'threads': threads, 'depth': depth, **sample})


def of(samples, tool, key):
    return [s for s in samples if s['tool'] == tool and (s['what'], s['depth'], s['threads']) == key]


def speeds(samples):
    return [s['tokens_per_s'] for s in samples]


def share_of_limit(samples):
    what, field, limit = (('prefill', 'ops_per_s', 'int8_ops_per_s') if
                          samples[0]['what'] == 'prefill' else
                          ('decode', 'bytes_per_s', 'read_bytes_per_s'))
    return 100 * statistics.median(s[field] / s['limits'][limit] for s in samples)


def print_table(samples):
    keys = sorted({(s['what'], s['depth'], s['threads']) for s in samples},
                  key=lambda k: (k[0] != 'prefill', k[1], k[2]))
    tools = list(dict.fromkeys(s['tool'] for s in samples))
    print('what     depth  t  tool             runs   median (    min -     max)   larder / it')
    for key in keys:
        ours = of(samples, LARDER, key)
        for tool in tools:
            found = speeds(of(samples, tool, key))
            line = f'{key[0]:8} {key[1]:5} {key[2]:2}  {tool:15} {len(found):5}'
            if not found:
                print(line + '        -')
                continue
            median = statistics.median(found)
            line += f' {median:8.2f} ({min(found):7.2f} - {max(found):7.2f})'
            if tool == LARDER:
                line += f'   {share_of_limit(ours):.0f} % of the limit'
            elif ours:
                line += f'   {statistics.median(speeds(ours)) / median:.2f}'
            print(line)


def main():
    options = parse_arguments()
    samples = []
    if options.samples and os.path.exists(options.samples):
        with open(options.samples) as kept:
            samples = [json.loads(line) for line in kept]

    def keep(sample):
        samples.append(sample)
        if options.samples:
            with open(options.samples, 'a') as kept:
                kept.write(json.dumps(sample) + '\n')

    run_rounds(options, tools_of(options), keep)
    if not samples:
        sys.exit('nothing was measured')
    print_table(samples)


if __name__ == '__main__':
    main()
