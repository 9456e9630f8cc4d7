# SPDX-License-Identifier: Apache-2.0
"""YARN on this machine: a ResourceManager and a NodeManager on the loopback interface, from Maven's packages (pom.xml)."""

import pathlib
import shutil
import subprocess

from cluster import Process, free_port

HERE = pathlib.Path(__file__).resolve().parent
JARS = HERE.parents[1] / "build/yarn"
RESOURCE_MANAGER = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"
NODE_MANAGER = "org.apache.hadoop.yarn.server.nodemanager.NodeManager"
LOG = """log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1}: %m%n
"""


def fetch_jars():
    """Brings the packages into build/yarn, once."""
    if not any(JARS.glob("hadoop-client-minicluster-*.jar")):
        if not shutil.which("mvn"):
            raise FileNotFoundError("mvn, which fetches YARN")
        subprocess.run(["mvn", "-B", "-q", "-f", HERE / "pom.xml", "dependency:copy-dependencies",
                        f"-DoutputDirectory={JARS}"], stdout=subprocess.DEVNULL, check=True)  # which is for results


def settings(directory):
    """yarn-site.xml as a dict: everything on loopback and below `directory`, room for a driver's agent and two executors."""
    ports = {f"yarn.resourcemanager.{name}address": f"127.0.0.1:{free_port()}"
             for name in ("", "scheduler.", "resource-tracker.", "admin.", "webapp.")}
    ports.update({f"yarn.nodemanager.{name}address": f"127.0.0.1:{free_port()}" for name in ("", "localizer.", "webapp.")})
    return {**ports, "yarn.resourcemanager.hostname": "127.0.0.1",
            "yarn.resourcemanager.scheduler.class":
                "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler",
            "yarn.nodemanager.resource.memory-mb": "8192", "yarn.nodemanager.resource.cpu-vcores": "4",
            "yarn.scheduler.minimum-allocation-mb": "256",
            "yarn.nodemanager.vmem-check-enabled": "false", "yarn.nodemanager.disk-health-checker.enable": "false",
            "yarn.nodemanager.local-dirs": str(directory / "local"), "yarn.nodemanager.log-dirs": str(directory / "logs")}


class Yarn:
    """The two daemons; `conf` is what HADOOP_CONF_DIR must name."""

    def __init__(self, directory):
        fetch_jars()
        self.conf = directory / "conf"
        self.conf.mkdir()
        rows = "".join(f"<property><name>{name}</name><value>{value}</value></property>\n"
                       for name, value in settings(directory).items())
        (self.conf / "yarn-site.xml").write_text(f"<configuration>\n{rows}</configuration>\n", encoding="utf-8")
        (self.conf / "log4j.properties").write_text(LOG, encoding="utf-8")
        java = ["java", "-cp", f"{self.conf}:{JARS}/*"]
        self.processes = [Process("resource-manager", [*java, RESOURCE_MANAGER], directory)]
        try:
            self.processes[0].wait_for_text("Transitioned to active state")
            self.processes.append(Process("node-manager", [*java, NODE_MANAGER], directory))
            self.processes[1].wait_for_text("Registered with ResourceManager")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
