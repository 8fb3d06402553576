"""`python -m demo`: start, show, clean up. Exit status 1, with what to look at, when a promise was not kept."""

import argparse
import os
import sys

from demo.place import Place, register_app, start_lanyard
from demo.show import DemoError, Kubectl, Show, complain
from demo.steps import Steps, evidence
from localenv import tools
from localenv.__main__ import show_exports
from localenv.environment import Environment

LIFE = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running; `make down` ends it")
    parser.add_argument("--life", type=int, default=LIFE, metavar="SECONDS", help="life of the provider's tokens")
    arguments = parser.parse_args()
    _stay_off_proxies()
    try:
        tools.ensure()
        return _demo(Show(), keep=arguments.keep, life=arguments.life)
    except KeyboardInterrupt:
        complain("interrupted: everything that was started is ended")
        return 130
    except (RuntimeError, AssertionError) as error:
        complain(f"the demo could not start: {error}")
        return 1


def _demo(show: Show, *, keep: bool, life: int) -> int:
    show.step("start a Kubernetes API server, a Vault and an OAuth server on loopback")
    environment = Environment(keep=keep)
    # What the servers leave among the temporary files goes with the run: Vault's plugin leaves its socket.
    os.environ["TMPDIR"] = str(environment.run_dir)
    environment.start()
    place = None
    try:
        show.step("register an app at the provider and put its client secret into Vault")
        register_app(environment, life=life)
        show.step("install the chart (helm template | kubectl apply), start Lanyard as its own ServiceAccounts")
        place = start_lanyard(environment)
        kubectl = Kubectl(show, environment.kubernetes.kubeconfig, environment.run_dir)
        try:
            Steps(show, place, kubectl, life=life).run()
        except DemoError as error:
            complain(f"\nthe demo failed: {error}\nlook at: {error.look_at}\n\n{evidence(place, kubectl)}")
            if not keep:
                complain("\n`make demo KEEP=1` leaves everything running to look around")
            return 1
        if keep:
            _tell_how_to_go_on(show, place)
        else:
            show.step("clean up")
    finally:
        if place is not None:
            place.close()
        else:
            environment.stop()
    show.step("done: everything is left running" if keep else "done: nothing is left running")
    return 0


def _tell_how_to_go_on(show: Show, place: Place) -> None:
    show.step(
        'everything stays; to go on, take these over (eval "$(PYTHONPATH=tests .venv/bin/python -m localenv exports)")'
    )
    show_exports()
    show.detail(
        f"""then, for example:
$ kubectl -n sales get connections --watch
$ kubectl -n sales describe connection crm
$ curl {place.operator.address}/metrics
the operator's log: {place.operator.log}
the end: make down"""
    )


def _stay_off_proxies() -> None:
    """The servers are on loopback; a proxy of the machine cannot reach them."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), "127.0.0.1", "localhost"]))


if __name__ == "__main__":
    sys.exit(main())
