//! The examples and the YAML in README and docs are valid by the schemas of Kubernetes: those of
//! the newest version in the PyPI package `kubernetes-validate` (ci/setup). An unknown field is an
//! error.

use crate::support::player::Manifest;
use crate::support::pod::Access;
use crate::support::{Folder, needs, output};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files with this ending in a folder of the repository, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files: BTreeSet<_> = paths
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    files.into_iter().collect()
}

/// All manifests in examples/, including those that only show the component.
fn examples() -> Vec<PathBuf> {
    let mut all = files("examples", ".yaml");
    all.extend(files("examples/kustomize", ".rendered.yaml"));
    all.extend(
        ["job/job.yaml", "deployment/deployment.yaml"]
            .map(|name| root().join("examples/kustomize").join(name)),
    );
    all
}

/// Whether all of these files are valid, and the output of the validator. `None` if it is not
/// installed.
fn validate(files: &[PathBuf]) -> Option<(bool, String)> {
    let tool = root().join("target/tools/kubernetes-validate/bin/kubernetes-validate");
    needs("kubernetes-validate", tool.exists()).then_some(())?;
    let output = Command::new(tool)
        .arg("--strict")
        .args(files)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// Asserts that each file is valid, and that none was skipped for lack of a schema.
#[track_caller]
fn are_valid(files: &[PathBuf]) {
    let Some((valid, said)) = validate(files) else {
        return;
    };
    assert!(valid, "{said}");
    for file in files {
        let line = said
            .lines()
            .find(|line| line.contains(file.to_str().unwrap()));
        assert!(
            line.is_some_and(|line| line.contains(" passed ")),
            "{} was not validated:\n{said}",
            file.display()
        );
    }
}

#[test]
fn every_example_is_valid() {
    let examples = examples();
    assert!(examples.len() >= 20, "{examples:?}");
    are_valid(&examples);
}

#[test]
fn invalid_manifests_are_found() {
    let folder = Folder::new();
    let pod = |spec: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{spec}}}\n")
    };
    let right = "containers: [{name: a, image: a}]";
    are_valid(&[folder.file("right.yaml", &pod(right)).into()]);
    for (name, text, error) in [
        (
            "unknown",
            pod("containers: [{name: a, image: a, postStart: {}}]"),
            "'postStart' was unexpected",
        ),
        (
            "type",
            pod("containers: [{name: a, image: a, command: sh}]"),
            "is not of type 'array'",
        ),
        (
            "missing",
            pod("containers: [{image: a}]"),
            "'name' is a required property",
        ),
        (
            "kind",
            pod(right).replace("kind: Pod", "kind: Pot"),
            "find schema",
        ),
    ] {
        let file = folder.file(name, &text);
        let Some((valid, said)) = validate(&[file.into()]) else {
            return;
        };
        assert!(
            said.contains(error) && (!valid || !said.contains(" passed ")),
            "{name}: {said}"
        );
    }
}

/// The YAML blocks of a Markdown text, with the numbers of their first lines.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_in = false;
    for (number, line) in text.lines().enumerate() {
        match line.trim() {
            "```yaml" => {
                is_in = true;
                found.push((number + 2, String::new()));
            }
            "```" => is_in = false,
            _ if is_in => found.last_mut().unwrap().1 += &format!("{line}\n"),
            _ => {}
        }
    }
    found
}

/// Completes a block to an object. A complete object is returned unchanged. A list is the
/// `containers` of a pod. A mapping is part of a pod's spec if it has `containers`,
/// `initContainers` or `volumes`, and part of a container otherwise. Missing names and images are
/// added.
fn whole(block: &str) -> String {
    let documents =
        YamlLoader::load_from_str(block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
    let has = |name: &str| {
        documents[0]
            .as_hash()
            .is_some_and(|hash| hash.contains_key(&Yaml::String(name.to_owned())))
    };
    let indent = block
        .lines()
        .next()
        .unwrap()
        .chars()
        .take_while(|letter| *letter == ' ')
        .count();
    let at = |depth: usize| {
        let lines = block
            .lines()
            .map(|line| format!("{:depth$}{}\n", "", line.get(indent..).unwrap_or_default()));
        lines.collect::<String>()
    };
    let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: fragment}\nspec:\n";
    if has("apiVersion") {
        block.to_owned()
    } else if documents[0].is_array() {
        format!("{head}  containers:\n{}", at(2))
    } else if has("containers") {
        format!("{head}{}", at(2))
    } else if has("initContainers") || has("volumes") {
        format!(
            "{head}  containers: [{{name: fragment, image: fragment}}]\n{}",
            at(2)
        )
    } else {
        format!(
            "{head}  containers:\n  - name: fragment\n    image: fragment\n{}",
            at(4)
        )
    }
}

#[test]
fn every_yaml_block_of_readme_and_docs_is_valid() {
    let folder = Folder::new();
    let mut written = Vec::new();
    for path in [vec![root().join("README.md")], files("docs", ".md")].concat() {
        let page = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for (line, block) in blocks(&fs::read_to_string(&path).unwrap()) {
            written.push(PathBuf::from(
                folder.file(&format!("{page}-line-{line}.yaml"), &whole(&block)),
            ));
        }
    }
    assert!(!written.is_empty());
    are_valid(&written);
}

#[test]
fn completing_a_fragment_does_not_hide_its_errors() {
    let blocks = blocks(
        "text\n```yaml\n  - name: a\n    image: a\n```\n```console\n$ b\n```\n\
         \x20 ```yaml\nvolumes: []\n  ```\n",
    );
    assert_eq!(
        blocks,
        [
            (3, "  - name: a\n    image: a\n".to_owned()),
            (10, "volumes: []\n".to_owned())
        ]
    );
    let folder = Folder::new();
    for (number, (right, wrong)) in [
        ("  - name: a\n    image: a\n", "  - name: a\n    imago: a\n"),
        (
            "    lifecycle:\n      preStop: {exec: {command: [a]}}\n",
            "    lifecycle:\n      preStop: {execute: {command: [a]}}\n",
        ),
        (
            "  initContainers:\n  - name: a\n    image: a\n",
            "  initContainers:\n  - name: a\n    nonsense: a\n",
        ),
        (
            "  volumes:\n  - {name: a, emptyDir: {}}\n",
            "  volumes:\n  - {name: a, emptiedDir: {}}\n",
        ),
        (
            "containers: [{name: a, image: a}]\n",
            "containers: [{name: [], image: a}]\n",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        are_valid(&[folder
            .file(&format!("right-{number}"), &whole(right))
            .into()]);
        let Some((valid, said)) = validate(&[folder
            .file(&format!("wrong-{number}"), &whole(wrong))
            .into()])
        else {
            return;
        };
        assert!(!valid, "{wrong}\n{said}");
    }
}

/// The comment at the top of a file.
fn comment(text: &str) -> String {
    text.lines()
        .take_while(|line| line.starts_with('#'))
        .map(|line| line.to_owned() + "\n")
        .collect()
}

#[test]
fn every_example_says_when_to_use_it_what_it_guarantees_and_what_it_does_not() {
    for path in [
        files("examples", ".yaml"),
        files("examples/kustomize/podgate", "kustomization.yaml"),
    ]
    .concat()
    {
        let text = fs::read_to_string(&path).unwrap();
        let comment = comment(&text);
        for part in ["\n# When: ", "\n# Guarantees: ", "\n# Does not: "] {
            assert!(comment.contains(part), "{} has no {part:?}", path.display());
        }
        assert!(
            text.lines().all(|line| line.len() <= 160),
            "{} has long lines",
            path.display()
        );
    }
}

#[test]
fn every_example_is_played() {
    let tests = include_str!("examples_are_played.rs");
    for path in [
        files("examples", ".yaml"),
        files("examples/kustomize", ".rendered.yaml"),
    ]
    .concat()
    {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(tests.contains(&format!("{name}\"")), "{name} is not played");
    }
}

#[test]
fn only_the_init_container_can_write_the_binary_which_is_not_on_the_members_volume() {
    let mut seen = 0;
    for path in examples() {
        let spec = Manifest::new(path.to_str().unwrap(), &fs::read_to_string(&path).unwrap())
            .read()
            .unwrap();
        for (container, image, at, access) in spec.mounts() {
            let may_write = image == "podgate:0.1.0";
            match at {
                "/podgate-bin" => {
                    assert_eq!(
                        access == Access::ReadWrite,
                        may_write,
                        "{container} of {}",
                        path.display()
                    )
                }
                // It resets the volume of the members.
                "/run/podgate" => {}
                _ => assert!(!may_write, "{container} of {} mounts {at}", path.display()),
            }
            seen += 1;
        }
    }
    assert!(seen >= 60, "{seen} mounts");
}

/// The binary alone needs no reset: a pod without members has no records.
#[test]
fn each_init_container_of_a_pod_with_members_resets_their_volume() {
    let mut seen = 0;
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let spec = Manifest::new(path.to_str().unwrap(), &text).read().unwrap();
        let mounts = spec.mounts();
        let has_members = mounts.iter().any(|(_, _, at, _)| *at == "/run/podgate");
        let installs = mounts
            .iter()
            .any(|(_, image, at, _)| *image == "podgate:0.1.0" && *at == "/podgate-bin");
        let resets = text.contains("--reset") && text.contains("/run/podgate");
        assert_eq!(resets, has_members && installs, "{}", path.display());
        seen += usize::from(resets);
    }
    assert!(seen >= 11, "{seen} resets");
}

#[test]
fn the_examples_name_this_version() {
    let image = format!("podgate:{}", env!("CARGO_PKG_VERSION"));
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| {
            line.contains("image: podgate:") || line.contains("reference: \"podgate:")
        }) {
            assert!(line.contains(&image), "{line} in {}", path.display());
        }
    }
}

/// Asserts that `rendered` is a strategic merge of `patch` into `base`: it has the fields of both,
/// and the patch takes precedence. Items of lists of mounts, containers and volumes are matched by
/// their names.
fn is_merged(patch: &Yaml, base: &Yaml, rendered: &Yaml, at: &str) {
    match rendered {
        Yaml::Hash(fields) => {
            let keys = patch
                .as_hash()
                .into_iter()
                .chain(base.as_hash())
                .flat_map(|it| it.keys());
            // A null in the patch removes the field.
            let keys: BTreeSet<_> = keys
                .filter(|key| !patch[key.as_str().unwrap()].is_null())
                .collect();
            assert_eq!(keys, fields.keys().collect(), "{at}");
            for (key, value) in fields {
                let name = key.as_str().unwrap();
                is_merged(&patch[name], &base[name], value, &format!("{at}.{name}"));
            }
        }
        Yaml::Array(items) if items.iter().all(|item| !item["name"].is_badvalue()) => {
            let id = |item: &Yaml| {
                item["mountPath"]
                    .as_str()
                    .or(item["name"].as_str())
                    .unwrap()
                    .to_owned()
            };
            let of = |list: &Yaml, which: &str| {
                list.as_vec()
                    .into_iter()
                    .flatten()
                    .find(|item| id(item) == which)
                    .cloned()
                    .unwrap_or(Yaml::BadValue)
            };
            let all = patch
                .as_vec()
                .into_iter()
                .chain(base.as_vec())
                .flatten()
                .map(id);
            assert_eq!(
                all.collect::<BTreeSet<_>>(),
                items.iter().map(id).collect(),
                "{at}"
            );
            items.iter().for_each(|item| {
                is_merged(
                    &of(patch, &id(item)),
                    &of(base, &id(item)),
                    item,
                    &format!("{at}.{}", id(item)),
                )
            });
        }
        Yaml::Array(_)
        | Yaml::Real(_)
        | Yaml::Integer(_)
        | Yaml::String(_)
        | Yaml::Boolean(_)
        | Yaml::Alias(_)
        | Yaml::Null
        | Yaml::BadValue => {
            assert_eq!(
                rendered,
                if patch.is_badvalue() { base } else { patch },
                "{at}"
            );
        }
    }
}

#[test]
fn the_rendered_files_contain_the_component_and_the_manifest() {
    for name in ["job", "deployment"] {
        let read = |path: String| {
            let text = fs::read_to_string(root().join("examples/kustomize").join(path)).unwrap();
            YamlLoader::load_from_str(&text).unwrap().remove(0)
        };
        let (mut patch, base) = (
            read(format!("podgate/{name}.yaml")),
            read(format!("{name}/{name}.yaml")),
        );
        // The name of the patch does not matter.
        if let Yaml::Hash(fields) = &mut patch {
            fields.remove(&Yaml::from_str("metadata"));
        }
        is_merged(&patch, &base, &read(format!("{name}.rendered.yaml")), name);
    }
}

/// The rendered manifests are in the repository, because other tests validate and play them.
#[test]
fn the_component_renders_to_the_files_in_the_repository() {
    let kubectl = root().join("target/tools/kubectl/bin/kubectl");
    if !needs("kubectl", kubectl.exists()) {
        return;
    }
    for name in ["job", "deployment"] {
        let folder = format!("examples/kustomize/{name}");
        let rendered = output(
            Command::new(&kubectl)
                .args(["kustomize", &folder])
                .current_dir(root()),
        );
        let kept = fs::read_to_string(root().join(format!("{folder}.rendered.yaml"))).unwrap();
        assert_eq!(
            kept.strip_prefix(&comment(&kept)).unwrap(),
            rendered,
            "{folder}.rendered.yaml"
        );
    }
    // The containers of a vendor may have hooks with other handlers. After the merge each hook has
    // one handler, that of podgate.
    let folder = Folder::new();
    let copied = output(
        Command::new("cp")
            .arg("-r")
            .arg(root().join("examples/kustomize"))
            .arg(folder.path()),
    );
    assert_eq!(copied, "");
    for (name, container) in [("job", "proxy"), ("deployment", "proxy")] {
        let path = folder.join(&format!("kustomize/{name}/{name}.yaml"));
        let hooks = "{postStart: {httpGet: {port: 1}}, preStop: {sleep: {seconds: 1}}}";
        let text = fs::read_to_string(&path).unwrap();
        let named = format!("- name: {container}\n");
        let indent = text
            .split_once(&named)
            .unwrap()
            .0
            .rsplit('\n')
            .next()
            .unwrap()
            .len()
            + 2;
        let hooked = text.replacen(
            &named,
            &format!("{named}{:indent$}lifecycle: {hooks}\n", ""),
            1,
        );
        fs::write(&path, hooked).unwrap();
        let rendered = output(
            Command::new(&kubectl)
                .args(["kustomize", &format!("kustomize/{name}")])
                .current_dir(folder.path()),
        );
        let has_sleep = name == "job";
        assert!(
            rendered.contains("podgate-bin/podgate") && !rendered.contains("httpGet"),
            "{rendered}"
        );
        // The component has no preStop for the Job, so the vendor's stays.
        assert_eq!(rendered.contains("sleep"), has_sleep, "{rendered}");
    }
}
