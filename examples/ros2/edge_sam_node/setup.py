"""The node as an ament package. Install edge_sam itself with pip."""

from setuptools import setup

setup(
    name="edge_sam_node",
    version="0.1.0",
    packages=["edge_sam_node"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/edge_sam_node"]),
        ("share/edge_sam_node", ["package.xml"]),
    ],
    install_requires=["edge-sam", "setuptools"],
    entry_points={"console_scripts": ["track = edge_sam_node.node:main"]},
)
