//! Uploads files and artifacts. The server returns an address for each, which may be that of a cloud store.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use super::artifact::{Bundle, Part};
use super::carrier::Carrier;
use crate::network::http::{Content, Expect};
use crate::network::outbox::Failure;

/// Maximum number of files per request.
const FILES: usize = 100;
/// The address is signed for a request without a content type.
const NO_TYPE: &str = "";

impl Carrier {
    /// Sends files of the run. Returns how many of the first were sent. A failure after the first is left to the next
    /// call.
    pub(super) fn upload_files(&mut self, files: &[(String, PathBuf)]) -> Result<usize, Failure> {
        let files = &files[..files.len().min(FILES)];
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let targets = self.run_files(&names)?;
        let mut sent = 0;
        for ((_, path), (address, headers)) in files.iter().zip(&targets) {
            match self.put(address, headers, Content::File { path, content_type: NO_TYPE }) {
                Ok(()) => sent += 1,
                Err(failure) if sent == 0 => return Err(failure),
                Err(_) => break,
            }
        }
        self.remote().uploaded.extend(files[..sent].iter().map(|(name, _)| name.clone()));
        self.save();
        Ok(sent)
    }

    pub(super) fn upload_bytes(&mut self, files: &[(String, Vec<u8>)]) -> Result<(), Failure> {
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let targets = self.run_files(&names)?;
        for ((_, bytes), (address, headers)) in files.iter().zip(&targets) {
            self.put(address, headers, Content::Bytes { bytes, content_type: NO_TYPE })?;
        }
        let uploaded = &mut self.remote().uploaded;
        for (name, _) in files {
            if !uploaded.contains(name) {
                uploaded.push(name.clone());
            }
        }
        Ok(())
    }

    /// The upload addresses for files of the run, in their order.
    fn run_files(&mut self, names: &[&str]) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let (entity, project) = (self.remote().entity.clone(), self.remote().project.clone());
        let variables = json!({"entity": entity, "project": project, "run": self.settings.id, "files": names});
        let data = self.ask("CreateRunFiles", include_str!("graphql/create_run_files.graphql"), &variables)?;
        let created = &data["createRunFiles"];
        let headers = texts(&created["uploadHeaders"]);
        let files = created["files"].as_array().map(Vec::as_slice).unwrap_or_default();
        let address = |name: &&str| {
            let file = files.iter().find(|file| file["name"] == **name)?;
            Some((file["uploadUrl"].as_str()?.to_owned(), headers.clone()))
        };
        let found: Option<Vec<_>> = names.iter().map(address).collect();
        found.ok_or_else(|| Failure::refused("CreateRunFiles: the server returned no address for a file").of(names.len()))
    }

    fn put(&self, address: &str, headers: &[String], content: Content<'_>) -> Result<(), Failure> {
        let headers: Vec<(&str, &str)> =
            headers.iter().filter_map(|header| header.split_once(':')).map(|(name, value)| (name.trim(), value.trim())).collect();
        self.client.send("PUT", address, &headers, content, Expect::Stored).map(drop)
    }

    /// Creates a version of an artifact. If its content equals the latest version, it is not uploaded again.
    pub(super) fn upload_artifact(&mut self, bundle: &Bundle) -> Result<(), Failure> {
        let created = self.create_artifact(bundle)?;
        let id = created["id"].as_str().ok_or_else(|| Failure::refused("CreateArtifact: the answer has no id"))?;
        if created["state"] == "COMMITTED" {
            return Ok(());
        }
        let manifest = self.artifact_manifest(id, "", false)?;
        let manifest_id = &manifest["id"];
        for files in bundle.files.chunks(FILES) {
            self.upload_parts(id, manifest_id, files)?;
        }
        let content = manifest_json(id, bundle).to_string();
        let digest = BASE64_STANDARD.encode(Md5::digest(content.as_bytes()));
        let file = &self.artifact_manifest(id, &digest, true)?["file"];
        let address = file["uploadUrl"].as_str().ok_or_else(|| Failure::refused("CreateArtifactManifest: the answer has no address"))?;
        let bytes = Content::Bytes { bytes: content.as_bytes(), content_type: NO_TYPE };
        self.put(address, &texts(&file["uploadHeaders"]), bytes)?;
        let committed = self.ask("CommitArtifact", include_str!("graphql/commit_artifact.graphql"), &json!({"artifactID": id}))?;
        if committed["commitArtifact"]["artifact"].is_object() {
            Ok(())
        } else {
            Err(Failure::retry("CommitArtifact: the answer names no artifact"))
        }
    }

    fn create_artifact(&mut self, bundle: &Bundle) -> Result<Value, Failure> {
        let (entity, project) = (self.remote().entity.clone(), self.remote().project.clone());
        let alias = |alias: &String| json!({"alias": alias, "artifactCollectionName": bundle.name});
        let metadata = (!bundle.metadata.is_empty()).then(|| Value::from(bundle.metadata.clone()).to_string());
        let input = json!({
            "aliases": bundle.aliases.iter().map(alias).collect::<Vec<_>>(),
            "artifactCollectionName": bundle.name,
            "artifactCollectionNames": null,
            "artifactTypeName": bundle.kind,
            "clientID": bundle.client_id,
            "clientMutationId": null,
            "description": null,
            "digest": bundle.digest,
            "digestAlgorithm": "MANIFEST_MD5",
            "distributedID": null,
            "enableDigestDeduplication": true,
            "entityName": entity,
            "historyStep": null,
            "labels": null,
            "metadata": metadata,
            "projectName": project,
            "runName": self.settings.id,
            "sequenceClientID": bundle.sequence_client_id,
            "storageRegion": null,
            "ttlDurationSeconds": null,
        });
        let mut data = self.ask("CreateArtifact", include_str!("graphql/create_artifact.graphql"), &json!({"input": input}))?;
        Ok(data["createArtifact"]["artifact"].take())
    }

    fn artifact_manifest(&mut self, artifact: &str, digest: &str, upload: bool) -> Result<Value, Failure> {
        let (entity, project) = (self.remote().entity.clone(), self.remote().project.clone());
        let variables = json!({
            "artifactID": artifact,
            "baseArtifactID": null,
            "name": "wandb_manifest.json",
            "digest": digest,
            "entityName": entity,
            "projectName": project,
            "runName": self.settings.id,
            "manifestType": "FULL",
            "includeUpload": upload,
        });
        let mut data = self.ask("CreateArtifactManifest", include_str!("graphql/create_artifact_manifest.graphql"), &variables)?;
        Ok(data["createArtifactManifest"]["artifactManifest"].take())
    }

    fn upload_parts(&self, artifact: &str, manifest: &Value, files: &[Part]) -> Result<(), Failure> {
        let file = |file: &Part| {
            json!({
                "artifactID": artifact,
                "artifactManifestID": manifest,
                "md5": file.md5,
                "mimetype": null,
                "name": file.path,
                "uploadPartsInput": null,
            })
        };
        let files_input: Vec<Value> = files.iter().map(file).collect();
        let input = json!({"artifactFiles": files_input, "clientMutationId": null, "cloudRegionID": null, "storageLayout": "V2"});
        let data = self.ask("CreateArtifactFiles", include_str!("graphql/create_artifact_files.graphql"), &json!({"input": input}))?;
        let edges = data["createArtifactFiles"]["files"]["edges"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (file, edge) in files.iter().zip(edges) {
            let node = &edge["node"];
            // The server returns no address for a file that it already has.
            if let Some(address) = node["uploadUrl"].as_str() {
                self.put(address, &texts(&node["uploadHeaders"]), Content::File { path: &file.local, content_type: NO_TYPE })?;
            }
        }
        if edges.len() < files.len() {
            return Err(Failure::refused("CreateArtifactFiles: the server returned no address for a file"));
        }
        Ok(())
    }
}

fn manifest_json(artifact: &str, bundle: &Bundle) -> Value {
    let content = |file: &Part| {
        let known = json!({"digest": file.md5, "size": file.size, "birthArtifactID": artifact, "skip_cache": false});
        (file.path.clone(), known)
    };
    json!({
        "version": 1,
        "storagePolicy": "wandb-storage-policy-v1",
        "storagePolicyConfig": {"storageLayout": "V2"},
        "contents": bundle.files.iter().map(content).collect::<Map<_, _>>(),
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}
