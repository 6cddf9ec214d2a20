#!/usr/bin/env python3
"""Writes template_cases.jsonl: what Python's Jinja2 makes of small templates.

Needs Jinja2 3.1.6. The first line holds the variables, each other a {"template", "expect"} or
{"template", "error"}: "syntax" where Jinja2 refuses to compile, "runtime" where rendering fails.
With a directory of published conversations (rendered_conversations.json) as the argument, also
writes rendered_conversations_jinja2.json: the cases that Jinja2 itself renders otherwise.
"""

import datetime
import json
import os
import sys

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2025, 7, 10, 12, 0)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "  Hi <b>you</b> & \"me\" 'too' \u00e9\U0001f642\n"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "abc123456", "function": {"name": "get_weather", "arguments": {"city": "Z\u00fcrich", "days": 2, "exact": True, "note": None, "t": 1.5}}}]},
        {"role": "tool", "content": "21.5"},
    ],
    "tools": None,
    "a": 7, "b": -3, "f": 2.5, "s": "hello World", "u": "\u00c4rger \u00df \u0130 \u01c5", "e": "",
    "l": [3, 1, 2], "names": ["bob", "Alice", "carol", "alice"], "d": {"x": 1, "y": "two", "z": [1, 2]},
    "people": [{"name": "Bob", "age": 30, "city": "Rome"}, {"name": "ann", "age": 25, "city": "oslo"},
               {"name": "Cy", "age": 25, "city": "Rome", "tags": ["x", "y"]}, {"name": "di", "age": 41}],
    "nested": {"list": [{"k": [10, 20]}], "items": 5}, "yes": True, "no": False, "nothing": None,
    "lines": "one\n  two\n\nthree\n",
}

EXPRESSIONS = r"""
1 + 2 * 3
(1 + 2) * 3
2 ** 3 ** 2
-2 ** 2
-a|abs
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
7 / 2
6 / 2
1e3
1.5e-7
1e16
1e22
123456789.123
0.1 + 0.2
1e15 + 0.5
100000000000000000.0
5e-324
1.0
-0.0
3 * 1.0
2 ** -1
2 ** 0.5
10 ** 18
9223372036854775807
0x1f
0b101
0o17
1_000
1_0.5
007
1 // 0
1 % 0
1 / 0
1.0 // 0
1.5 % 0
0 ** -1
9223372036854775807 + 0
true + 1
true
True
none
None
not a
not e
not not a
a and b
a or b
e or 'x'
nothing and x.y
a and nothing
1 < 2 < 3
1 < 3 < 2
1 == 1.0
true == 1
'a' < 'b'
'a' < 'B'
[1, 2] < [1, 3]
[1, 2, 3, 4] == [1]
{'a': 1, 'b': 2} == {}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
(1, 2) == [1, 2]
(1, 2) == (1, 2)
none == false
'1' == 1
1 < 'a'
none < 1
[] < {}
missing == missing
missing == none
missing != 1
missing < 1
missing + 1
missing.x
missing['x']
missing[0]
missing
missing()
missing is defined
missing | default('d')
missing | length
missing | list
missing | upper
missing ~ 'x'
'x' in missing
missing in ['x']
-missing
'ell' in s
'xyz' not in s
3 in l
'x' in d
'two' in d
'two' in d.values()
3 in (1, 2, 3)
5 in 'abc'
'a' in 5
2 in range(5)
7 in range(0, 10, 2)
'' in 'a'
a in l
a is in l
3 is in(l)
a ~ b ~ f ~ none ~ true
'a' 'b' "c"
'a' + 'b'
'a' + 1
1 + 'a'
[1] + [2]
(1,) + (2,)
[1] + (2,)
'ab' * 3
3 * 'ab'
[1, 2] * 2
'a' * -1
'a' * 1.5
'a' - 'b'
'a' if yes else 'b'
'a' if no else 'b'
'a' if no
('a' if no) is defined
1 if no else 2 if no else 3
1 if yes if no else 2
[]
[1, 'a', none, true, 1.5, [2]]
()
(1,)
(1, 2)
1, 2
{}
{'a': 1, 'b': [1, {'c': none}]}
{1: 2, none: 3, true: 4, 1.5: 5}
{'a': 1, 'a': 2}
{1: 'a', 1.0: 'b', true: 'c'}
{[1]: 2}
{(1, 2): 3}
{(1, 2): 3}[(1, 2)]
["it's", 'say "hi"', 'both \' and "', 'back\\slash', 'tab\t', 'nl\n']
['é', '\x00', '\x7f', '\u200b', '\U0001f642', '\xa0', '\u0378']
[messages[1].content]
d
d.items()
d.keys()
d.values()
d.items() | list
d | items | list
d | list
d.x
d['x']
d.get('x')
d.get('q')
d.get('q', 'dflt')
d.q
d.q is defined
d.q.r
d['items']
d.items
nested.items is callable
nested['items']
nested.list[0].k[1]
nested.list.0.k.1
nested.list[5]
nested.list[5] is defined
nested.list[-1].k[-1]
nested.list['0']
l[0]
l[-1]
l[3]
l[-4]
l[100000000000]
l[1.5]
l['x']
l.x
l[true]
s[0]
s[-1]
s[50]
s['upper']()
u[0]
u[1:3]
'a'[-5]
s[1:4]
s[:-1]
s[::-1]
s[::2]
s[-3:]
s[100:]
s[-100:100]
s[5:2]
s[::0]
l[::-1]
l[1:]
l[:2]
l[-100000000000:100000000000]
l[::0]
l[3:0:-1]
l[3:0:-2]
(1, 2, 3)[1:]
range(10)[2:4] | list
d[1:2]
5[1]
a.b
a['b']
none.x
nothing.x is defined
true.real is defined
range(5)
range(5) | list
range(1, 5) | list
range(10, 0, -3) | list
range(0)
range(0, 10, 0)
range(1.5)
range('a')
range(3) | length
range(3) | last
range(3)[1]
range(3) == range(0, 3)
range(1, 3)
range(1, 9, 2)
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1), ('b', 2)])
dict(1)
namespace(a=1).a
namespace({'a': 1}, b=2).b
namespace(a=1)
namespace().x
namespace(a=1)['a']
cycler('a', 'b').next()
cycler()
joiner('-')()
raise_exception('boom')
strftime_now('%Y-%m-%d')
strftime_now('%d %b %Y')
strftime_now('%A %B %d, %Y %H:%M:%S %p %I %j %U %w %y %%')
strftime_now('%-d/%-m/%y %e %k %l|%D|%F|%T|%R|%c|%x|%X|%h|%C|%u|%V|%G|%W|%n|%t|%f')
strftime_now('')
strftime_now('no directives é')
''.__class__
''.__class__.__mro__
''['__class__']
d.__class__
d.__len__
d._x
l.append(1)
l.append
l.append is defined
l.sort()
d.update({})
d.pop('x')
d.clear is defined
d.setdefault('q', 1)
l.count(1)
l.index(2)
l.index(9)
l.copy()
d.copy()
s.upper
s.nope
s.nope()
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
s.casefold()
u.upper()
u.lower()
u.title()
u.capitalize()
"they're bill's friends".title()
"hello wORLD-foo bar_baz (qux [z {y <w".title()
"hello wORLD-foo bar_baz (qux [z {y <w" | title
"it's a dog's" | title
u | title
u | upper
u | lower
u | capitalize
s | capitalize
s | upper
5 | upper
none | upper
true | lower
'ǆ' | capitalize
'ﬁ' | upper
'  x '.strip()
'  x '.lstrip() ~ '|'
'  x '.rstrip() ~ '|'
'xxaxx'.strip('x')
'abcba'.strip('ab')
'\u3000x\u00a0'.strip()
' x '.strip(none)
'x'.strip(1)
messages[1].content | trim
'xxaxx' | trim('x')
'éaé'.strip('é')
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',')
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
''.split()
''.split(',')
'abc'.split('')
'a--b--c'.split('--')
'aaa'.split('aa')
'aaa'.rsplit('aa')
'a b'.split(' ', 0)
'abc'.split(1)
lines.splitlines()
lines.splitlines(true)
'a\rb\r\nc\x0bd\x85e\u2028f'.splitlines()
'a\n'.splitlines()
''.splitlines()
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.rpartition('=')
'abc'.replace('b', 'X')
'aaaa'.replace('a', 'b', 2)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
''.replace('', 'x')
'abc'.replace('b', '')
'abc'.replace(1, 2)
'abc' | replace('b', 'X')
'aaaa' | replace('a', 'b', 2)
123 | replace(2, 'x')
'abc' | replace('', '-')
'hello'.startswith('he')
'hello'.startswith(('x', 'he'))
'hello'.startswith(['he'])
'hello'.startswith('l', 2)
'hello'.startswith('')
'hello'.startswith('l', 2, 1)
'hello'.endswith('lo')
'hello'.endswith(('x', 'lo'))
'hello'.endswith('ll', 0, 4)
'hello'.find('l')
'hello'.find('l', 3)
'hello'.find('z')
'hello'.rfind('l')
'éèê'.find('ê')
'hello'.index('l')
'hello'.index('z')
'hello'.count('l')
'aaaa'.count('aa')
'abc'.count('')
'hello'.find('l', -2)
'hello'.find('', 9)
','.join(['a', 'b'])
','.join('abc')
','.join([1, 2])
','.join({'a': 1, 'b': 2})
''.join([])
'a'.center(5) ~ '|'
'ab'.center(5, '*')
'abc'.center(6, '*')
'a'.ljust(4, '.') ~ 'a'.rjust(4, '.')
'a'.center(3, 'xy')
'-5'.zfill(4) ~ '5'.zfill(3) ~ 'abc'.zfill(2)
'a\tb'.expandtabs()
'a\tb\tc'.expandtabs(4)
'abc'.isalpha() ~ 'ab1'.isalpha() ~ 'é'.isalpha() ~ ''.isalpha()
'12'.isdigit() ~ '²'.isdigit() ~ '²'.isdecimal() ~ '½'.isnumeric() ~ ''.isdigit()
'ab1'.isalnum() ~ 'a b'.isalnum()
'A'.isupper() ~ 'Aa'.isupper() ~ '1'.isupper() ~ 'aé'.islower()
' \t'.isspace() ~ ''.isspace()
'Ab Cd'.istitle() ~ 'Ab cd'.istitle() ~ 'AB'.istitle() ~ '1'.istitle() ~ "It'S".istitle()
range(10)[2:8:2]
range(10)[::-1]
range(0, 20, 3)[1:3]
'x' % missing
u.casefold() ~ u.swapcase()
'%s|' % missing
'x' % range(3)
missing | reverse | list
[none, none] | sort
s | truncate(5)
l | truncate(5)
[[1]] is filter
'abc'.isascii() ~ 'é'.isascii() ~ ''.isascii()
'prefix-x'.removeprefix('prefix-') ~ 'x.txt'.removesuffix('.txt')
'abc'.format()
'{} {}'.format(1, 'x')
'{0} {1} {0}'.format('a', 'b')
'{a} {b}'.format(a=1, b=2)
'{0.x}'.format(d)
'{0[x]} {0[z][1]}'.format(d)
'{!r} {!s}'.format('a', 'b')
'{:5}|{:<5}|{:>5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd', 'e')
'{:5}|{:<5}|{:05}|{:+}|{: }'.format(1, 2, -3, 4, 5)
'{:,} {:_} {:,.2f}'.format(1234567, 1234567, 1234567.891)
'{:.3f} {:.0f} {:e} {:g} {:%} {:.1%}'.format(3.14159, 2.5, 12345.678, 0.00001234, 0.25, 0.256)
'{:x} {:X} {:#x} {:b} {:o} {:c} {:#b}'.format(255, 255, 255, 5, 8, 65, 5)
'{:.2}'.format('abc')
'{{}} {}'.format(1)
'{'.format(1)
'}'.format(1)
'{} {1}'.format(1, 2)
'{2}'.format(1)
'{x}'.format(1)
'{:d}'.format('a')
'{:d}'.format(1.5)
'{:s}'.format(1)
'{:>{}}'.format('a', 5)
'{:{w}.{p}f}'.format(3.14159, w=8, p=2)
'{}'.format(none) ~ '{}'.format(true) ~ '{}'.format([1, 'a'])
'{:5}'.format(true)
'{:5}'.format(none)
'{0.__class__}'.format('a')
'{:=+7d}'.format(42)
'{a[b]}'.format_map({'a': {'b': 5}})
'%s' % 'a'
'%s %s' % ('a', 1)
'%d %i' % (3, 4.9)
'%05d|%-5d|%+d|% d' % (42, 42, 42, 42)
'%.2f %5.1f %e %g' % (3.14159, 2.25, 12345.678, 1e20)
'%x %X %o %#x %#o' % (255, 255, 8, 255, 8)
'%r %s' % ('a', none)
'%c%c' % ('a', 66)
'%%' % ()
'%(a)s-%(b)d' % {'a': 'x', 'b': 2}
'%s' % [1, 2]
'%s' % ((1, 2),)
'%s %s' % ('a',)
'%s' % ('a', 'b')
'%d' % 'a'
'%y' % 1
'%' % 1
'%5s|%-5s|%.2s' % ('a', 'b', 'cde')
'%*d' % (5, 42)
'%(a)s' % 1
'abc' % ()
'abc' % 1
'%s, %s!' | format('a', 'b')
'%(x)s' | format(x=1)
'%s' | format('a', x=1)
a | string
f | string
[1, 'a'] | string
none | string
'5' | int
'5.9' | int
'abc' | int
'abc' | int(7)
'ff' | int(0, 16)
'0xff' | int(base=16)
'0b11' | int(base=0)
' 12 ' | int
'1_000' | int
'1__0' | int
'-3' | int
'+3' | int
'- 3' | int
5.9 | int
-5.9 | int
true | int
none | int
[] | int
'1e3' | int
'' | int
missing | int
'1.5' | float
'abc' | float
'abc' | float(1.0)
' 1e3 ' | float
'inf' | float
'nan' | float
'-Infinity' | float
5 | float
none | float
'1_0.5' | float
-5 | abs
-5.5 | abs
'a' | abs
true | abs
2.5 | round
3.5 | round
-2.5 | round
2.675 | round(2)
1234.5678 | round(-2)
1250 | round(-2)
1350 | round(-2)
5 | round
42.55 | round(1, 'floor')
42.51 | round(1, 'ceil')
42 | round(0, 'ceil')
2.5 | round(method='x')
'a' | round
1e300 | round(2)
l | sort
l | sort(reverse=true)
names | sort
names | sort(case_sensitive=true)
names | sort(reverse=true)
people | sort(attribute='name') | map(attribute='name') | list
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age,name') | map(attribute='name') | list
people | sort(attribute='age', reverse=true) | map(attribute='name') | list
people | sort(attribute='city') | list
[1, 'a'] | sort
[none, 1] | sort
[true, 0, 2] | sort
[] | sort
'hello' | sort
d | sort
l | min
l | max
names | min
names | max
[] | min
[] | max | default('none')
people | max(attribute='age')
people | map(attribute='age') | max
l | sum
[1.5, 2] | sum
people | sum(attribute='age')
['a'] | sum
['a', 'b'] | sum(start='')
[[1], [2]] | sum(start=[])
[] | sum
l | sum(start=10)
l | first
l | last
[] | first
[] | last
[] | first is defined
'abc' | first
'abc' | last
d | first
d | last
l | length
s | length
u | length
'🙂é' | length
d | length
d | count
5 | length
none | length
l | join
l | join(', ')
[1, none, true, 'a'] | join('-')
people | join(', ', attribute='name')
people | join(', ', 'city')
'abc' | join(',')
d | join(',')
5 | join
l | reverse | list
'abc' | reverse
d | reverse | list
l | list
'añb' | list
d | list
5 | list
names | unique | list
names | unique(true) | list
people | unique(attribute='age') | map(attribute='name') | list
[1, 1.0, true, 2] | unique | list
[[1], [1]] | unique | list
names | map('upper') | list
names | map('replace', 'a', 'X') | list
names | map('length') | sum
people | map(attribute='city', default='?') | list
people | map(attribute='city') | list
people | map(attribute='tags.0', default='-') | list
people | map('nope') | list
people | map | list
[] | map('nope') | list
names | map(attribute=0) | list
l | map('string') | join(',')
l | select('odd') | list
l | select | list
[0, 1, '', 'a', none] | select | list
[0, 1, '', 'a', none] | reject | list
l | reject('equalto', 3) | list
l | select('>', 1) | list
l | select('in', [1, 2]) | list
l | select('divisibleby', 2) | list
people | selectattr('age', 'equalto', 25) | map(attribute='name') | list
people | selectattr('tags') | map(attribute='name') | list
people | selectattr('city', 'defined') | list | length
people | rejectattr('city', 'defined') | map(attribute='name') | list
people | rejectattr('tags') | list | length
people | selectattr('name', 'in', ['Cy', 'di']) | map(attribute='age') | list
people | selectattr | list
people | selectattr('age', 'nope') | list
messages | selectattr('role', '==', 'user') | list | length
messages | map(attribute='role') | join(' ')
d | dictsort
{'b': 1, 'A': 2, 'c': 0} | dictsort
{'b': 1, 'A': 2, 'c': 0} | dictsort(true)
{'b': 1, 'A': 2, 'c': 0} | dictsort(by='value')
{'b': 1, 'A': 2, 'c': 0} | dictsort(reverse=true)
{'b': 1, 'A': 2} | dictsort(false, 'x')
{1: 2, 'a': 3} | dictsort
l | dictsort
people | groupby('age')
people | groupby('city', default='none') | map('first') | list
people | groupby('city') | list
names | groupby(0) | list
names | groupby('0') | map(attribute='grouper') | list
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3, 4, 5] | batch(2, 'x') | list
[1, 2, 3, 4, 5] | slice(2) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
[] | batch(2) | list
[1] | slice(0) | list
d | tojson
d | tojson(indent=2)
d | tojson(indent=0)
{} | tojson(indent=2)
{'a': [], 'b': {}} | tojson(indent=1)
nested | tojson(indent='\t')
d | tojson(separators=(',', ':'))
{'b': 1, 'a': 2} | tojson(sort_keys=true)
{'b': 1, 1: 2} | tojson(sort_keys=true)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
{(1, 2): 3} | tojson
[1.0, 1e20, 0.1, true, none, 'é<>&\'"'] | tojson
'é🙂\x00\x1f\x7f\u2028' | tojson
'é🙂' | tojson(true)
'é🙂' | tojson(ensure_ascii=true)
messages | tojson
(1, 2) | tojson
missing | tojson
range(3) | tojson
d.items() | tojson
s.upper | tojson
5 | tojson
d | tojson | length
missing | default('x')
none | default('x')
none | default('x', true)
'' | default('x', boolean=true)
0 | d(5, true)
missing | default
missing.x | default('y')
d.q | default('y')
d.q.r | default('y')
'<a href="x">&\'</a>' | e
'<b>' | escape | escape
'<b>' | e | forceescape
'<b>' | safe
'<' + ('<b>' | safe)
('<b>' | safe) + '<'
('<b>' | safe) ~ '<'
('<b>' | safe) + ('<' | safe)
'<b>' | e | length
['<b>' | safe]
('<%s>' | safe) % '<x>'
('<b>' | safe).upper() + '<'
('a' | safe) == 'a'
5 | e
'<b>x</b>  y &amp; <!-- c --> z' | striptags
'a < b' | striptags
'foo\nbar\n\nbaz' | indent
'foo\nbar' | indent(2)
'foo\n\nbar' | indent(2, true)
'foo\n\nbar' | indent(2, blank=true)
'foo\nbar\n' | indent(2)
'foo\r\nbar\r' | indent(2)
'foo\nbar' | indent('> ')
'foo\nbar' | indent(width='> ', first=true)
'' | indent
'\n' | indent
'\n\n' | indent(1, true, true)
5 | indent
'foo bar baz qux' | truncate(9)
'foo bar baz qux' | truncate(9, true)
'foo bar baz qux' | truncate(11)
'foo bar baz qux' | truncate(11, false, '...', 0)
'foobarbazqux' | truncate(6, false, '…', 0)
'x' | truncate(1)
'a b-c d_e é1' | wordcount
'' | wordcount
'x' | center(5) ~ '|'
1 | filesizeformat
0 | filesizeformat
999 | filesizeformat
1000 | filesizeformat
1234567 | filesizeformat
1234567 | filesizeformat(true)
'2048' | filesizeformat(true)
1e30 | filesizeformat
'a b/c?d=é&' | urlencode
{'a b': 'c/d', 'e': 1} | urlencode
[('a', 1), ('b', 'x y')] | urlencode
5 | urlencode
{'class': 'x<', 'id': none, 'n': 5} | xmlattr
{'a b': 1} | xmlattr
s | attr('upper')
d | attr('x') is defined
d | attr('items') is callable
a is odd
a is even
b is odd
f is odd
'a' is odd
a is divisibleby 7
a is divisibleby(2)
a is divisibleby(num=7)
a is number
true is number
'5' is number
none is none
missing is none
missing is undefined
nothing is defined
s is string
5 is string
('x' | safe) is string
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
5 is sequence
range(3) is sequence
d.items() is sequence
missing is sequence
(l | map('string')) is sequence
l is iterable
s is iterable
5 is iterable
none is iterable
missing is iterable
d.items() is iterable
true is boolean
1 is boolean
true is true
1 is true
false is false
1 is integer
true is integer
1.0 is integer
1.0 is float
1 is float
'abc' is lower
'ABC' is upper
'Abc' is lower
'1' is lower
5 is lower
namespace is callable
raise_exception is callable
s.upper is callable
s is callable
missing is callable
1 is eq 1
1 is equalto 1
1 is == 1
1 is ne 2
1 is lt 2
1 is le 1
1 is gt 0
1 is ge 1
1 is lessthan 2
1 is greaterthan 2
1 is sameas 1
none is sameas none
true is sameas true
1 is sameas true
1 is sameas 1.0
'upper' is filter
'nope' is filter
'odd' is test
1 is not odd
1 is not none and 2 is even
not 1 is odd
1 is odd and 3 is odd or false
('<' | e) is escaped
1 is in [1, 2]
1 is nope
1 | nope
1 | nope if no else 2
x is defined is true
a.real
f.is_integer()
2.0.is_integer()
messages[0]['role']
messages[0].role
messages[-1].content
messages[1:] | length
messages[2].tool_calls[0].function.arguments | tojson
messages[2].tool_calls[0].function.arguments
messages[2].tool_calls[0]['function']['arguments'].items() | list
messages[2].content
messages[2].content is string
messages[2]['missing']
messages[9]
tools
tools is none
tools is defined
messages | length
messages | map(attribute='content') | list
messages | last
(messages | first).role
s.split(' ')[0]
s.split(' ') | map('upper') | join('-')
'a' ~ 1 + 2
'a' ~ (1 + 2) ~ 'b'
1 ~ 2
1 + 2 ~ 3
a * 2 + b
+a
+'a'
-'a'
--a
- -a
a.__add__
(a)
((a))
[a, b][0]
{'k': a}.k
{'k': a}['k']
"\x41\u0042\103\n\t\\\'\"\q"
'\N{BULLET}'
'unicode é'
"a
b"
lipsum is defined
foo.bar.baz
foo|default('x')|upper
l|first|string ~ 'x'
l.0
l.0.1
1.5.x
d.x.y.z
'a'|upper()|lower
'a'.upper().lower()
d|length + 1
-1|abs
2 - -1
1 if 1 else 2 ~ 'x'
[1,2,3,]
{'a':1,}
(1,2,)
[,]
{,}
{1}
{'a'}
(
)
[
1 +
* 2
a b
a.
a[
a[]
a|
a is
f(a
f(,)
f(a=1, 2)
s.split(sep=' ', maxsplit=1)
s.split(x=1)
s.upper(1)
range()
range(1,2,3,4)
1 == 1 == 1
not 1 == 2
1 in [1] == true
'a' 'b'.upper()
a if b
none ~ none
[none, true, false]
none|string
true ~ false
'{{ x }}'
'%}'
"{% raw %}"
{'a': {'b': {'c': 1}}}.a.b.c
loop
loop.index
self
caller
super()
_
__x__
é
1é
$
a ? b
a ! b
a && b
a = b
a := b
l[0] = 1
""".strip("\n").split("\n")

TEMPLATES = [
    "", "text", "a\n", "a\n\n", "a\r\nb\rc\n", "{", "{ {", "}}", "%}", "{{", "{%", "{#", "{{ }}", "{% %}", "{{ 1", "{{ 1 }",
    "{{ '", "{{ 'a }}", "{% if %}", "{% if 1 %}", "{% if 1 %}a", "{% endif %}", "{% else %}", "{% endfor %}", "{% nope %}",
    "{# comment #}x", "a{# multi\nline #}b", "{#- x -#}  a", "a {#- x #} b", "{# a #}\nb", "{#+ a +#}\nb", "  {# a #}b", "{##}x", "{#-#}  x", "{#--#} x", "{# {{ x }} #}y",
    "{# a -#}\n\n b", "x{#", "{# #} #}",
    "{% if 1 %}\nx\n{% endif %}\ny", "  {% if 1 %}\n  x\n  {% endif %}\n  y", "a  {% if 1 %}b{% endif %}  c", "a\n  {%- if 1 %}\n b\n {%- endif %}\nc",
    "a {%- if 1 -%} b {%- endif -%} c", "a\n{%+ if 1 %}\nb{%+ endif %}\n", "  {%+ if 1 %}x{% endif %}", "{% if 1 +%}\nx{% endif %}", "a{% if 1 -%}\n\n\n  b{% endif %}",
    "{{ 1 }}\n{{ 2 }}\n", "  {{ 1 }}  ", "a {{- 1 -}} b", "a {{- 1 }} b", "{{-1}}", "{{- 1}}", "{{+1}}", "{{ -1 }}", "{{--1}}", "a\n\n  {{- 1 -}}\n\n b", "\t {% set x = 1 %}y", "a\n\t {% set x = 1 %}\ny",
    "\u3000{% set x = 1 %}y", "a\x0b{%- set x = 1 %}y", "{{ 1 }}\r\n{{ 2 }}", "{% set x = 1 %}\r\nb", "\n{% set x = 1 %}\n\nb", "{% set x = 1 %} \nb",
    "{% raw %}{{ x }}{% endraw %}", "{% raw %}\n{{ x }}\n{% endraw %}\n.", "a {%- raw -%}  {{ x }}  {%- endraw -%}  b", "{% raw %}{% if %}{% endraw %}", "{% raw %}", "{%raw%}a{%endraw%}", "  {% raw %}\n  a\n  {% endraw %}\n  b", "{% raw %} {% endraw x %} {% endraw %}", "{% raw %}{{{% endraw +%}\nx",
    "{{ {'a': {'b': 1}} }}", "{{ {'a': {}}}}", "{{'}}'}}", "{{ '%}' }}{% if '%}' %}x{% endif %}", "{{ [1}} ]", "{{ (1] }}", "{{ 1) }}",
    "{% if no %}a{% elif yes %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% else %}c{% endif %}", "{% if a and b %}x{% endif %}", "{% if a if b else c %}x{% endif %}", "{% if not missing %}x{% endif %}", "{% if 1, 2 %}x{% endif %}", "{% if yes: %}x{% endif %}", "{% if yes %}{% else %}a{% elif %}{% endif %}",
    "{% if missing.x %}a{% endif %}", "{% if missing is defined and missing.x %}a{% else %}b{% endif %}",
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in [] %}a{% else %}b{% endfor %}", "{% for x in l if x > 1 %}{{ x }}{{ loop.index }}{{ loop.last }}{{ loop.length }} {% else %}none{% endfor %}", "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in 'aé🙂' %}[{{ c }}]{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}", "{% for x in missing.y %}a{% endfor %}",
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, in [(1,)] %}{{ a }}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed() }}{{ loop.changed(x, 1) }} {% endfor %}",
    "{% for x in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}", "{% for x in l %}{{ loop.nope is defined }}{{ loop }}{% endfor %}" if False else "{% for x in l %}{{ loop.nope is defined }}{% endfor %}", "{{ loop is defined }}{% for x in l %}{% endfor %}{{ loop is defined }}", "{% for x in l %}{{ x }}{% endfor %}{{ x is defined }}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% for loop in l %}{% endfor %}", "{% for x in l %}{% else %}{% set loop = 1 %}{% endfor %}" if False else "{% set loop = 1 %}{{ loop }}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% break %}{% else %}e{% endfor %}", "{% for x in l %}{% continue %}{% else %}e{% endfor %}", "{% for x in l %}{% for y in l %}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in l|sort %}{{ x }}{% endfor %}", "{% for x in l|map('string') %}{{ loop.length }}{{ x }}{% endfor %}", "{% for x in range(3) %}{{ x }}{{ loop.last }}{% endfor %}", "{% for x in l, 5 %}{{ x }}{% endfor %}", "{% for x in l[1:] + [9] %}{{ x }}{% endfor %}", "{% for x in l if yes else [] %}{{ x }}{% endfor %}", "{% for x in (l if yes else []) %}{{ x }}{% endfor %}", "{% for x.y in l %}{% endfor %}", "{% for 1 in l %}{% endfor %}", "{% for x of l %}{% endfor %}", "{% for x in l recursive %}{{ x }}{% endfor %}",
    "{% for x in [[1, [2, 3]], 4] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{{ loop.depth }}{{ loop.index }}{% endif %}{% endfor %}", "{% for x in [[]] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% endif %}{% else %}empty{% endfor %}", "{% for x in l %}{{ loop(x) }}{% endfor %}",
    "{% set ns = namespace(i=0) %}{% for x in l if ns.i < 2 %}{% set ns.i = ns.i + 1 %}{{ x }}{% endfor %}", "{% for x in l %}{% set y = x %}{{ y }}{% endfor %}{{ y is defined }}", "{% set y = 0 %}{% for x in l %}{{ y }}{% set y = x %}{{ y }} {% endfor %}{{ y }}", "{% for x in l %}{% if loop.first %}{% set y = 5 %}{% endif %}{{ y is defined }}{% endfor %}",
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x, y = [1, 2, 3] %}", "{% set (x, y) = (1, 2) %}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}aaa{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y is defined }}", "{% set x = x|default(5) %}{{ x }}", "{% set a = a + 1 %}{{ a }}", "{% if yes %}{% set q = 1 %}{% endif %}{{ q }}", "{% if no %}{% set a = 1 %}{% endif %}{{ a }}", "{% set 1 = 2 %}", "{% set x.y = 1 %}", "{% set d.x = 1 %}", "{% set l[0] = 1 %}", "{% set x %}", "{% set true = 1 %}", "{% set x y %}{% endset %}", "{% set x = %}", "{% set = 1 %}",
    "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}", "{% set ns = namespace(a=1) %}{% for x in l %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}", "{% set ns = namespace(a=[]) %}{% for x in l %}{% set ns.a = ns.a + [x] %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self is defined }}", "{% set ns = namespace() %}{% set ns.x, y = 1, 2 %}{{ ns.x }}{{ y }}", "{% set ns = namespace(a=1) %}{{ ns }}{{ ns.b is defined }}{{ ns is mapping }}", "{% set ns = namespace(_p=1) %}{{ ns._p }}", "{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}", "{% set ns = namespace(a=1) %}{% set ns.a.b = 1 %}", "{% set ns = namespace() %}{{ ns.x }}{{ ns['y'] }}",
    "{% for x, y in [[1, 2], [3, 4]] if x %}{{ loop.previtem }}{% endfor %}", "{% macro m() %}hi{% endmacro %}{{ m() }}", "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(x) %}{{ x }}{{ varargs|length }}{% endmacro %}{{ m(1, 2, 3) }}", "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}", "{% macro m() %}{{ caller is defined }}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(i) m([1, 2]) %}<{{ i }}>{% endcall %}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}", "{% macro m() %}{% set g = 5 %}{% endmacro %}{{ m() }}{{ g is defined }}", "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro m(x) %}{{ x }}{% endmacro %}{% for i in l %}{{ m(i) }}{% endfor %}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% for i in l %}{% macro m() %}{{ loop is defined }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}a{% endmacro %}{{ m }}{{ m.name }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}" if False else "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m() %}", "{% macro 1() %}{% endmacro %}", "{% macro m() %}<{{ 1 }}>{% endmacro %}{{ m()|length }}{{ m() ~ 'x' }}{{ m() is string }}", "{% macro m() %}\n  a\n{% endmacro %}[{{ m() }}]", "{% macro m(**k) %}{% endmacro %}", "{% macro m() %}{{ kwargs.x }}{% endmacro %}{{ m(**{'x': 4}) }}{{ m(*[]) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(1, **{'b': 3}) }}", "{% call 5 %}{% endcall %}", "{% call m %}{% endcall %}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% macro m(caller=none) %}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{% call m() %}z{% endcall %}{{ m() }}", "{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }}",
    "{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}{{ m(1) }}|{{ m('a') }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% macro m(x=[]) %}{{ x + [1] }}{% endmacro %}{{ m() }}{{ m() }}",
    "{% with x = 1 %}{{ x }}{% endwith %}{{ x is defined }}", "{% with x = 1, y = 2 %}{{ x }}{{ y }}{% endwith %}", "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x is defined }}", "{% set x = 5 %}{% with x = 1, y = x %}{{ x }}{{ y }}{% endwith %}{{ x }}", "{% with x %}{% endwith %}",
    "{% filter upper %}abc{{ 'd' }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}", "{% filter nope %}{% endfilter %}", "{% filter indent(2) %}a\nb{% endfilter %}", "{% filter trim %}  x  {% set y = 1 %}{% endfilter %}{{ y is defined }}",
    "{% generation %}a{{ 1 }}{% endgeneration %}b", "{% for x in l %}{%- generation -%} {{ x }} {%- endgeneration -%}{% endfor %}", "{% generation %}{% set x = 1 %}{% endgeneration %}{{ x is defined }}", "{% generation %}", "{% block x %}a{{ a }}{% endblock %}", "{% block x %}a{% endblock x %}", "{% set q = 1 %}{% block x %}{{ q }}{% endblock %}", "{% autoescape false %}<{{ '<' }}{% endautoescape %}", "{% print 1, 'a' %}", "{% print %}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}" if False else "{% extends 'x' %}", "{% do 1 %}", "{% break %}", "{% continue %}", "{% trans %}{% endtrans %}",
    "{% if yes %}{{ 1|nope }}{% endif %}", "{% if no %}{{ 1|nope }}{% endif %}ok", "{{ 2 if yes else 1|nope }}", "{% if no %}{{ 1 is nope }}{% endif %}ok",
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + (m['content'] or '') + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}x{% endif %}", "{%- for m in messages -%}\n  {%- if m.role == 'user' -%}\n    {{- m.content | trim -}}\n  {%- endif -%}\n{%- endfor -%}", "{% for m in messages %}{{ loop.index0 % 2 == 0 }}{{ m.role }} {% endfor %}", "{% for m in messages if m.role != 'system' %}{{ m.role }}{{ loop.first }} {% endfor %}", "{% set system = messages[0].content if messages[0].role == 'system' else none %}{{ system }}", "{% set rest = messages[1:] %}{{ rest|length }}{{ rest[0].role }}", "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for t in m.tool_calls %}{{ t.function.name }}({% for k, v in t.function.arguments.items() %}{{ k }}={{ v if v is string else v|tojson }}{{ ', ' if not loop.last }}{% endfor %}){% endfor %}{% endif %}{% endfor %}", "{% for m in messages %}{% if m.content is string %}{{ m.content|length }}{% elif m.content is none %}none{% endif %}{% endfor %}", "{% if tools %}a{% elif tools is none %}b{% endif %}", "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{% for m in loop_messages %}{{ m.role }}{% endfor %}{{ system_message }}",
    "{% set j = joiner() %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set c = cycler('a', 'b') %}{% for x in l %}{{ c.next() }}{% endfor %}{{ c.current }}{{ c.reset() }}{{ c.current }}", "{% for g in people|groupby('city', default='-') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %}", "{% for city, items in people|groupby('city', default='-') %}{{ city }}:{{ items|map(attribute='name')|join(',') }} {% endfor %}", "{% for row in l|batch(2) %}{{ row }}{{ loop.last }}{% endfor %}", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set x = [1,2,3] %}{% for i in range(x|length) %}{{ x[i] }}{% endfor %}", "{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}", "{% for i in '' %}{% else %}empty{% endfor %}",
    "{{ 1 }}{% set x = 2 %}\n{{ x }}\n\n", "line1\nline2 {{ raise_exception('at line 2') }}", "{%- set x -%}  a  {%- endset -%}[{{ x }}]", "{{ '\n' }}|{{ '\\n' }}|{{ \"\\t\" }}", "{{ \"a\" }}\u00e9\u4e2d\U0001f642", "\ufeffx", "a\x00b", "{{ 'a\x00b'|length }}", "{{ '\\x00'|length }}", "{{ x.y.z if x is defined else 'none' }}", "{{ (messages|last)['role'] }}", "{%if yes%}a{%endif%}", "{%-if yes-%} a {%-endif-%}", "{{a}}{{b}}", "{{a}} {{b}}", "{{ a }}\n\n\n", "{%set x=1%}{{x}}", "{% set x=1-1 %}{{ x }}", "{% set x = -1 %}{{ x }}", "{{ 5 -}} \n x", "{{ '-' -}} x", "{{ a-1 }}", "{{ a -1 }}", "{% set x = 'a' if no %}{{ x }}{{ x is defined }}",
]


def run(env, template):
    try:
        compiled = env.from_string(template)
    except jinja2.exceptions.TemplateSyntaxError:
        return {"template": template, "error": "syntax"}
    except Exception:
        return {"template": template, "error": "syntax"}
    try:
        text = compiled.render(**json.loads(json.dumps(VARIABLES)))
        text.encode()
    except Exception:
        return {"template": template, "error": "runtime"}
    return {"template": template, "expect": text}


# Where larder differs on purpose: no escapes by character name, no lorem ipsum, no attributes of
# numbers; an unclosed comment or raw block is an error; no other templates can be named.
DIFFERS = ["'\\N{BULLET}'", "lipsum is defined", "self", "true.real is defined", "a.real"]
DIFFERING_TEMPLATES = ["{#", "x{#", "{% raw %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"]


def main():
    env = environment()
    with open(os.path.join(HERE, "template_cases.jsonl"), "w") as out:
        out.write(json.dumps({"variables": VARIABLES}) + "\n")
        expressions = ["{{ " + x + " }}" for x in EXPRESSIONS if x not in DIFFERS]
        for template in expressions + [t for t in TEMPLATES if t not in DIFFERING_TEMPLATES]:
            case = run(env, template)
            if " at 0x" not in case.get("expect", ""):
                out.write(json.dumps(case) + "\n")
    if len(sys.argv) > 1:
        path = os.path.join(sys.argv[1], "rendered_conversations.json")
        differs = {}
        for case in json.load(open(path)):
            try:
                text = env.from_string(case["chat_template"]).render(**case["data"])
            except Exception:
                continue
            if text != case["target"]:
                differs[case["name"]] = text
        with open(os.path.join(HERE, "rendered_conversations_jinja2.json"), "w") as out:
            json.dump(differs, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
