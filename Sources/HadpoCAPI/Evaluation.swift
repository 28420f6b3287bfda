import CHadpo
import HadpoBase
import HadpoEval
import HadpoReport

// -- evaluation of files, without a model

/// A config in, a report out, on any thread: these calls touch files and nothing else.
private func evaluated<T>(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ schema: String, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?, _ read: (inout ConfigReader) throws(HadpoError) -> T,
    _ run: (T) throws(HadpoError) -> JSON
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let config = try configured(config, size, schema, "config", read).config
        result.pointee = retained(BytesHandle(try run(config).text(indent: 2)))
    }
}

@_cdecl("hadpo_pope_evaluate") @implementation
public func hadpo_pope_evaluate(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.pope-score/1", report, error, PopeEvaluationConfig.init, PopeEvaluation.run)
}

@_cdecl("hadpo_pope_build") @implementation
public func hadpo_pope_build(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.pope-build/1", report, error, PopeBuildConfig.init, PopeBuild.run)
}

@_cdecl("hadpo_chair_score") @implementation
public func hadpo_chair_score(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.chair-score/1", report, error, CHAIRScoreConfig.init, CHAIRScore.run)
}

@_cdecl("hadpo_shr_requests") @implementation
public func hadpo_shr_requests(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.shr-requests/1", report, error, SHRRequestsConfig.init, SHRRequests.run)
}

@_cdecl("hadpo_shr_score") @implementation
public func hadpo_shr_score(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.shr-score/1", report, error, SHRScoreConfig.init, SHRScore.run)
}

@_cdecl("hadpo_shr_agree") @implementation
public func hadpo_shr_agree(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.shr-agree/1", report, error, SHRAgreementConfig.init, SHRAgreement.run)
}

@_cdecl("hadpo_report_write") @implementation
public func hadpo_report_write(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    evaluated(config, size, "hadpo.report/1", report, error, ReportConfig.init, Report.run)
}

// -- with a model

@_cdecl("hadpo_shr_describe") @implementation
public func hadpo_shr_describe(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let model = try handle(model, ModelHandle.self, "model")
        let (family, folder) = (model.model.family, model.model.generation)
        let config = try configured(config, size, "hadpo.shr-describe/1", "config") { r throws(HadpoError) in
            try SHRDescribeConfig(&r, family: family, folder: folder)
        }.config
        let described = try model.engine.exclusively { progress throws(HadpoError) in
            try SHRDescribe.run(model: model.model, config: config, progress: progress)
        }
        result.pointee = retained(BytesHandle(described.text(indent: 2)))
    }
}
